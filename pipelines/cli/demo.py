"""`carousel demo`: the whole path on real data."""

import shlex
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import Assignments, called, settings
from pipelines.display.terminal import console, short


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
    from pipelines.demo.settings import demo_config, only_one, write_config
    from pipelines.display.summary import demo_summary
    from pipelines.surroundings.servers import make_root
    from pipelines.surroundings.session import flow_session

    began = time.monotonic()
    root = settings(context).root
    config = validated(demo_config(kind.value).model_dump(mode="json"), assignments=assign or ())
    command = called(root)
    again = shlex.join(["demo", *_options(kind, assign or ())])
    make_root(root)
    notes, out = console(stderr=True), console()
    try:
        with only_one(
            root, lambda: notes.print("another demo runs under this root; waiting for its end ...")
        ):
            notes.print("starting an S3 server and a Prefect API on loopback ...")
            with flow_session(config.storage, root):
                from pipelines.flows import demo as flows

                done = flows.demo(config, root, fresh)
            path = write_config(config.named(done.trained.run), root)
    except KeyboardInterrupt:
        notes.print(f"stopped; `{command} {again}` goes on where it was")
        raise
    for part in demo_summary(done, command, again, Path(short(path)), time.monotonic() - began):
        out.print(part)


def _options(kind: Kind, assignments: Iterable[str]) -> list[str]:
    """The options that make it the same job again."""
    chosen = [] if kind is Kind.delta else ["--format", kind.value]
    return chosen + [word for assignment in assignments for word in ("-s", assignment)]
