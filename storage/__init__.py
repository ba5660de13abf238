"""Where sequence data and checkpoints live: buckets, tables, checkpoint repositories. Knows no torch."""
