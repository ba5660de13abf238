"""`carousel demo`: the whole path on real data."""

from enum import StrEnum
from typing import Annotated

import typer

from pipelines.cli.app import Assignments, settings
from pipelines.terminal import console


class Kind(StrEnum):
    """Table formats."""

    delta = "delta"
    iceberg = "iceberg"


def demo(
    context: typer.Context,
    kind: Annotated[Kind, typer.Option("--format", help="Which kind of tables to make.")] = Kind.delta,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train a new run, also where one is finished.")
    ] = False,
    assign: Assignments = None,
) -> None:
    """Real data, end to end: ingest, train, evaluate, score. Once stopped, run it again: it goes on."""
    import time

    from pipelines.config.load import validated
    from pipelines.demo import demo_config, only_one, write_config
    from pipelines.session import flow_session
    from pipelines.summary import demo_summary

    began = time.monotonic()
    root = settings(context).root
    config = validated(demo_config(kind.value).model_dump(mode="json"), assignments=assign or ())
    root.mkdir(parents=True, exist_ok=True)
    out = console()
    with only_one(
        root, waiting=lambda: out.print("another demo runs under this root; waiting for it to end ...")
    ):
        with flow_session(config.storage, root):
            from pipelines.flows import demo as flows

            done = flows.demo(config, root, fresh)
        path = write_config(config.named(done.trained.run), root)
    for part in demo_summary(done, path, time.monotonic() - began):
        out.print(part)
