"""What a batch means and how it is scored, one task per file."""
