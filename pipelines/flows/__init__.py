"""Prefect flows: ingest, train, evaluate, score."""
