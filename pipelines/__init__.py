"""Prefect flows, configuration and the `carousel` command: wiring of `storage` and `lstm`."""
