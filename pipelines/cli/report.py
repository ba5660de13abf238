"""`carousel report`: one page about a run."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, settings, storage_and_run
from pipelines.cli.forecast import CommitId, RunOrNone
from pipelines.display.terminal import console


def report(
    context: typer.Context,
    run: RunOrNone = None,
    commit: CommitId = "best",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; reports/RUN.html under --root if not given.", dir_okay=False),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Make a run's report: one HTML page that needs nothing else, on disk and in the bucket."""
    from pipelines.display.summary import report_lines
    from pipelines.surroundings.session import flow_session

    storage, name = storage_and_run(run, config, assign)
    root = settings(context).root
    with flow_session(storage, root):
        from pipelines.flows import report as flows

        done = flows.report(storage, name, root, commit, None if out is None else out.absolute())
    if as_json:
        print_json(done)
    else:
        for line in report_lines(done):
            console().print(line)
    if show:
        import webbrowser

        webbrowser.open(done.path.absolute().as_uri())
