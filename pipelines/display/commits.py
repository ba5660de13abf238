"""Runs and commits as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from pipelines.display.figures import SHORT_ID, figure, share, stored_and_raw
from pipelines.display.names import shown
from pipelines.display.progress import megabytes

if TYPE_CHECKING:
    from storage.checkpoints import Commit
    from storage.checkpoints.format.head import Parent
    from storage.checkpoints.restore.complete import Complete

SAID = 1024
"""Characters of a note or a pin that `show` tells: all that they may have."""

TRAINING_LOSSES = ("training_loss", "train_loss", "loss")
VALIDATION_LOSSES = ("validation_loss", "val_loss", "eval_loss")
"""What trainers call the losses that `list` shows: this one, Lightning, Transformers."""


def run_table(runs: Mapping[str, Sequence[Commit]]) -> Table:
    """All runs of a repository."""
    table = Table("run", "commits", "newest step", "stored", "raw", "stored ÷ raw", box=None)
    for run, commits in runs.items():
        stored, raw = stored_and_raw(commits)
        newest = max((commit.step for commit in commits), default=0)
        table.add_row(
            run, str(len(commits)), str(newest), megabytes(stored), megabytes(raw), share(stored, raw)
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
