"""The `carousel` command. Help is quick because everything heavy is imported by the command that needs it."""

from pipelines.cli.main import main, run

__all__ = ["main", "run"]
