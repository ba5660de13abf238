"""Flows as deployments of a Prefect server: registered, repeated after a kill, followed from a terminal."""
