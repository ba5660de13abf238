"""`carousel evaluate` and `carousel score`: what a trained commit is worth, and its forecast."""

from typing import Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    run_config,
    run_names,
    settings,
    storage_and_run,
)
from pipelines.display.terminal import console

RunOrNone = Annotated[
    str | None,
    typer.Argument(help="A run; the config's own if not given.", autocompletion=run_names),
]
CommitId = Annotated[
    str,
    typer.Option(help="A commit: its id or its first digits, a tag, `newest`, or `best` (validation loss)."),
]


def evaluate(
    context: typer.Context,
    run: RunOrNone = None,
    commit: CommitId = "best",
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Compare a commit's model with four baselines on the run's test windows."""
    from pipelines.display.scores import metric_table, series_table, verdict
    from pipelines.display.summary import report_line
    from pipelines.surroundings.session import flow_session

    storage, name = storage_and_run(run, config, assign)
    root = settings(context).root
    with flow_session(storage, root):
        from pipelines.flows import evaluate as flows

        done = flows.evaluate(storage, name, root, commit)
    figures = done.figures
    if as_json:
        about = {"run": done.run, "commit": done.commit, "step": done.step, "report": done.report.path}
        print_json({**about, **figures.to_json()})
        return
    out = console()
    out.print(f"{done.run}/{done.commit}, step {done.step}")
    out.print(f"{figures.target!r} in its own unit, {figures.windows:,} test windows:")
    out.print(metric_table(figures))
    if (by_series := series_table(figures)) is not None:
        out.print(by_series)
    out.print(verdict(figures))
    out.print(f"report: {report_line(done.report)}")


def score(
    context: typer.Context,
    commit: CommitId = "best",
    snapshot: Annotated[
        str | None, typer.Option(help="Forecast from this snapshot of the table; the newest if not given.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every series' next horizon and append it to the predictions table, exactly once."""
    from pipelines.display.summary import scored_line
    from pipelines.surroundings.session import flow_session

    checked, root = run_config(config, assign), settings(context).root
    with flow_session(checked.storage, root):
        from pipelines.flows import score as flows

        done = flows.score(checked, root, commit, snapshot)
    if as_json:
        names = ("table", "snapshot", "commit", "rows", "added", "skipped", "unmeasured")
        print_json({name: getattr(done, name) for name in names})
        return
    console().print(scored_line(done))
