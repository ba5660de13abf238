"""`carousel status`: is everything here that a run needs, and what to do where it is not."""

import typer

from pipelines.cli.answers import AsJson
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath


def status(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the bucket and the settings; say what to do about each problem.

    Exit code 1: there is a problem.
    """
    raise NotImplementedError
