"""Ranks that hold the same state store it together: one leads, each of the others stores a share."""
