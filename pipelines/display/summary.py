"""Answers as tables: for the terminal (rich), and for Prefect's artifacts (plain rows)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pipelines.display.names import shown
from pipelines.display.progress import megabytes
from pipelines.display.terminal import short

if TYPE_CHECKING:
    from pathlib import Path

    from lstm.tasks.evaluate import Evaluation
    from pipelines.flows.demo import Shown
    from pipelines.flows.score import Scored
    from pipelines.flows.train import TrainedRun
    from pipelines.report.publish import Published
    from storage.checkpoints import Commit
    from storage.checkpoints.format.head import Parent
    from storage.checkpoints.restore.complete import Complete

DELAY = "delay"
"""The demo's own target."""

SHOWN_SERIES = 24
"""Series of a table on the terminal; the report has more."""

SAID = 1024
"""Characters of a note or a pin that `show` tells: all that they may have."""

TRAINING_LOSSES = ("training_loss", "train_loss", "loss")
VALIDATION_LOSSES = ("validation_loss", "val_loss", "eval_loss")
"""What trainers call the losses that `list` shows: this one, Lightning, Transformers."""

SHORT_ID = 12
"""Digits of a commit's id that are shown; any unique beginning names it."""


def run_table(runs: Mapping[str, Sequence[Commit]]) -> Table:
    """All runs of a repository."""
    table = Table("run", "commits", "newest step", "stored", "raw", "stored ÷ raw", box=None)
    for run, commits in runs.items():
        stored, raw = stored_and_raw(commits)
        newest = max((commit.step for commit in commits), default=0)
        table.add_row(
            run, str(len(commits)), str(newest), megabytes(stored), megabytes(raw), _share(stored, raw)
        )
    return table


def commit_table(run: str, commits: Sequence[Commit]) -> Table:
    """The commits of one run."""
    headers = ("commit", "step", "training loss", "validation loss", "raw", "new", "tags", "note")
    table = Table(*headers, box=None)
    for commit in commits:
        marks = (f"pinned for {', '.join(map(shown, commit.pins))}",) if commit.pins else ()
        table.add_row(
            f"{run}/{commit.id[:SHORT_ID]}",
            str(commit.step),
            figure(_first(commit.metrics, TRAINING_LOSSES), 4),
            figure(_first(commit.metrics, VALIDATION_LOSSES), 4),
            megabytes(commit.raw_bytes),
            megabytes(commit.new_bytes),
            ", ".join((*commit.tags, *marks, *(("damaged",) if commit.damaged else ()))),
            shown(commit.note) if commit.note else "",
        )
    return table


def _first(metrics: Mapping[str, float], names: Sequence[str]) -> float | None:
    """The first of these metrics that a commit has."""
    return next((metrics[name] for name in names if name in metrics), None)


def commit_details(run: str, found: Complete, parent: Parent | None) -> Iterable[str | Table]:
    """One commit: what was passed over for it, where it comes from, and its tensors."""
    commit, meta = found.commit, found.manifest.meta
    yield from found.skipped
    yield f"{run}/{commit.id}, step {commit.step}, {commit.created}, written by {commit.attempt}"
    if parent is not None:
        yield f"its run was forked from {parent.run}/{parent.commit}"
    if commit.note:
        yield f"note: {shown(commit.note, SAID)}"
    if commit.tags:
        yield f"tags: {', '.join(commit.tags)}"
    if commit.pins:
        yield f"pinned for: {', '.join(shown(it, SAID) for it in commit.pins)}"
    if "snapshot" in meta:
        yield f"trained on snapshot {meta['snapshot']['id']} of {meta['snapshot']['table']}"
        yield f"plan {meta['plan_id']}; environment {meta['environment']}"
    for name, value in commit.metrics.items():
        yield f"{name}: {figure(value, 6)}"
    yield f"{megabytes(commit.raw_bytes)} of tensors, {megabytes(commit.new_bytes)} stored by this commit"
    table = Table("tensor", "type", "shape", "bytes", box=None)
    for name, tensor in sorted(found.manifest.tensors.items()):
        table.add_row(name, tensor.dtype, str(list(tensor.shape)), f"{tensor.nbytes:,}")
    yield table


def metric_rows(figures: Evaluation) -> list[dict[str, Any]]:
    """The model and the baselines, over all series and then by series."""
    forecasts = {"model": figures.model, **figures.baselines}
    rows = [{"forecast": name, "series": "all", **_rounded(each["all"])} for name, each in forecasts.items()]
    return rows + [
        {"forecast": name, "series": series, **_rounded(each["series"][series])}
        for series in figures.model["series"]
        for name, each in forecasts.items()
    ]


def metric_table(figures: Evaluation) -> Table:
    """The model and the baselines over all series, for a terminal."""
    table = Table("forecast", "MAE", "pinball loss", _interval(figures), box=None)
    for name, report in {"model": figures.model, **figures.baselines}.items():
        own = report["all"]
        table.add_row(figures.name(name), figure(own["mae"]), figure(own.get("pinball")), _coverage(own))
    return table


def series_table(figures: Evaluation) -> Table | None:
    """By series, for a terminal: the mean absolute error of the model and of each baseline on its windows.

    Of many series those with the lowest and the highest errors; None where there is only one.
    """
    forecasts = {"model": figures.model, **figures.baselines}
    names, title = list(figures.model["series"]), "MAE by series"
    if len(names) < 2:
        return None
    if len(names) > SHOWN_SERIES:
        half = SHOWN_SERIES // 2
        ranked = sorted(names, key=lambda name: figures.model["series"][name]["mae"] or 0.0)
        names = ranked[:half] + ranked[-half:]
        title = f"MAE: {half} lowest, {half} highest"
    headers = [figures.name(name) for name in forecasts]
    table = Table(title, *headers, "pinball loss", _interval(figures), box=None)
    for series in names:
        own = figures.model["series"][series]
        errors = [figure(report["series"][series]["mae"]) for report in forecasts.values()]
        table.add_row(shown(series), *errors, figure(own["pinball"]), _coverage(own))
    return table


def verdict(figures: Evaluation) -> str:
    """Whether the model is worth its training, in plain words."""
    own = figures.model["all"]["mae"]
    if not math.isfinite(own):
        return (
            f"The model's mean absolute error is {own}: some of its forecasts are no finite numbers. "
            "It beats nothing; do not use it."
        )
    digits = 2 if own >= 1 else 4
    if figures.lost_to:
        lost = ", ".join(
            f"{figures.name(name)} ({figure(figures.baselines[name]['all']['mae'], digits)})"
            for name in figures.lost_to
        )
        return f"The model ({figure(own, digits)}) LOSES to: {lost}. Do not use it as it is."
    best = figures.best_baseline
    reference = figures.baselines[best]["all"]["mae"]
    both = f"{figure(own, digits)} against {figure(reference, digits)}"
    return (
        f"The model beats all baselines: {both} of the best, {figures.name(best)} "
        f"({1 - own / reference:.1%} less)."
    )


def trained_line(run: TrainedRun) -> str:
    """How a run stands."""
    return (
        f"run {run.run}: {run.step} steps ({run.reason}), last commit {run.commit[:SHORT_ID]}; "
        f"{run.commits} commits of {megabytes(run.raw_bytes)} take {megabytes(run.stored_bytes)} "
        f"({_share(run.stored_bytes, run.raw_bytes)})"
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


def stored_and_raw(commits: Iterable[Commit]) -> tuple[int, int]:
    """Bytes that commits added to the repository, and bytes of the states they hold."""
    known = list(commits)
    return sum(commit.new_bytes for commit in known), sum(commit.raw_bytes for commit in known)


def figure(value: float | None, digits: int = 2) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(figures: Evaluation) -> str:
    return f"in the {figures.model['nominal_coverage']:.0%} interval"


def _coverage(report: Mapping[str, float | None]) -> str:
    coverage = report.get("coverage")
    return "" if coverage is None else f"{coverage:.0%}"


def _measured(figures: Evaluation) -> str:
    """What the demo's figures are of; it can be asked for another target."""
    hours, windows = len(figures.model["mae_by_step"]), f"{figures.windows:,} test windows"
    if figures.target == DELAY:
        return f"Mean departure delay, 1 to {hours} hours ahead, {windows}, minutes:"
    return f"{figures.target!r}, 1 to {hours} hours ahead, {windows}, in its own unit:"


def _rounded(report: Mapping[str, float | None]) -> dict[str, float | None]:
    """Without NaN and infinity, which JSON does not know."""
    return {
        name: None if value is None or not math.isfinite(value) else round(value, 4)
        for name, value in report.items()
    }


def _share(stored: int, raw: int) -> str:
    return f"{stored / raw:.2f}" if raw else "–"
