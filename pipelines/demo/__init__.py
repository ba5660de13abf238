"""The demo: its data and its settings."""
