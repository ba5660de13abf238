"""Find what is damaged, and rebuild a head from what is left."""
