"""Recurrent models, one idea per file."""
