"""Forecasts as rows of a table that any engine can query, added once."""
