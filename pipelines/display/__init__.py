"""What a person sees: consoles, progress, answers as tables, and names of others made harmless."""
