"""How commits enter a run's head, are marked there, and leave it."""
