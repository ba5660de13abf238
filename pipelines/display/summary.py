"""What flows have done, in lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table

from pipelines.display.figures import SHORT_ID, share
from pipelines.display.progress import megabytes
from pipelines.display.scores import metric_table, verdict
from pipelines.display.terminal import short

if TYPE_CHECKING:
    from pathlib import Path

    from lstm.tasks.evaluate import Evaluation
    from pipelines.flows.demo import Shown
    from pipelines.flows.score import Scored
    from pipelines.flows.train import TrainedRun
    from pipelines.report.publish import Published

DELAY = "delay"
"""The demo's own target."""


def trained_line(run: TrainedRun) -> str:
    """How a run stands."""
    return (
        f"run {run.run}: {run.step} steps ({run.reason}), last commit {run.commit[:SHORT_ID]}; "
        f"{run.commits} commits of {megabytes(run.raw_bytes)} take {megabytes(run.stored_bytes)} "
        f"({share(run.stored_bytes, run.raw_bytes)})"
    )


def scored_line(done: Scored) -> str:
    """What was forecast."""
    what = f"{done.added:,} rows" if done.added else f"nothing new (its {done.rows:,} rows are there already)"
    if 0 < done.added < done.rows:
        what += f" ({done.rows - done.added:,} more are there already)"
    new = f"; scaled as the whole table, being new: {', '.join(done.unmeasured)}" if done.unmeasured else ""
    skipped = f"; too short for a context: {', '.join(done.skipped)}" if done.skipped else ""
    return f"{done.table}: {what}, commit {done.commit[:SHORT_ID]}, snapshot {done.snapshot}{skipped}{new}"


def report_lines(done: Published) -> Iterable[str]:
    """Where a report is, and what it comes to."""
    yield f"{done.run}/{done.commit}"
    yield done.verdict
    yield report_line(done)


def report_line(done: Published) -> str:
    """Where a report is."""
    return f"{short(done.path)} ({megabytes(done.bytes)}; also {done.uri})"


def demo_summary(done: Shown, program: str, demo: str, config: Path, seconds: float) -> Iterable[str | Table]:
    """What the demo did, where it lies, and how to go on.

    Args:
        done: what the flow returned.
        program: how `carousel` is called from here, with its global options.
        demo: the `demo` command with the options that it was given.
        config: the demo's settings as a file.
        seconds: how long it took.
    """
    run, ingested, figures = done.trained, done.ingested, done.evaluated.figures
    yield ""
    yield _measured(figures)
    yield metric_table(figures)
    yield verdict(figures)
    yield ""
    rows = f"{ingested.added:,} rows added" if ingested.added else f"{ingested.known:,} rows, none new"
    yield _pairs(
        ("table", f"{ingested.table}: {rows}, snapshot {run.snapshot}"),
        ("checkpoints", trained_line(run)),
        ("predictions", scored_line(done.scored)),
        ("report", report_line(done.evaluated.report)),
    )
    yield ""
    yield _pairs(
        ("look again", f"{program} ui"),
        ("", f"{program} checkpoints list {run.run}"),
        ("", f"{program} tables show {done.scored.table}"),
        ("the same by series", f"{program} evaluate -c {config}"),
        ("train anew", f"{program} {demo} --fresh"),
        ("resume after a kill", f"{program} resume {run.run}"),
        ("the S3 server again", f"{program} s3 start"),
    )
    yield f"done in {seconds:.0f} s"


def _pairs(*rows: tuple[str, str]) -> Table:
    table = Table.grid(padding=(0, 3))
    for row in rows:
        table.add_row(*row)
    return table


def _measured(figures: Evaluation) -> str:
    """What the demo's figures are of; it can be asked for another target."""
    hours, windows = len(figures.model["mae_by_step"]), f"{figures.windows:,} test windows"
    if figures.target == DELAY:
        return f"Mean departure delay, 1 to {hours} hours ahead, {windows}, minutes:"
    return f"{figures.target!r}, 1 to {hours} hours ahead, {windows}, in its own unit:"
