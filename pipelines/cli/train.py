"""`carousel train` and `carousel resume`."""

from typing import Annotated

import typer

from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_config, settings, storage_config
from pipelines.terminal import console


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
    run: Annotated[str, typer.Argument(help="The run's name.")],
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
