"""Answers as tables: for the terminal (rich), and for Prefect's artifacts (plain rows)."""

from collections.abc import Iterable, Mapping

from rich.table import Table

from pipelines.progress import megabytes
from storage.checkpoints import Commit, Head, Restored

SHORT_ID = 12
"""Digits of a commit's id that are shown; any unique beginning names it."""


def run_table(heads: Mapping[str, Head]) -> Table:
    """All runs of a repository."""
    table = Table("run", "commits", "newest step", "stored", "raw", "stored ÷ raw", box=None)
    for run, head in heads.items():
        stored, raw = stored_and_raw(head.commits)
        newest = max((commit.step for commit in head.commits), default=0)
        table.add_row(
            run, str(len(head.commits)), str(newest), megabytes(stored), megabytes(raw), _share(stored, raw)
        )
    return table


def commit_table(run: str, head: Head) -> Table:
    """The commits of one run."""
    table = Table("commit", "step", "training loss", "validation loss", "raw", "new", "tags", box=None)
    for commit in head.commits:
        table.add_row(
            f"{run}/{commit.id[:SHORT_ID]}",
            str(commit.step),
            figure(commit.metrics.get("training_loss"), 4),
            figure(commit.metrics.get("validation_loss"), 4),
            megabytes(commit.raw_bytes),
            megabytes(commit.new_bytes),
            ", ".join((*commit.tags, *(("damaged",) if commit.damaged else ()))),
        )
    return table


def commit_details(run: str, restored: Restored) -> Iterable[str | Table]:
    """One commit: where it comes from, and its tensors."""
    commit, meta = restored.commit, restored.meta
    yield f"{run}/{commit.id}, step {commit.step}, {commit.created}, written by {commit.attempt}"
    if "snapshot" in meta:
        yield f"trained on snapshot {meta['snapshot']['id']} of {meta['snapshot']['table']}"
        yield f"plan {meta['plan_id']}; environment {meta['environment']}"
    for name, value in commit.metrics.items():
        yield f"{name}: {figure(value, 6)}"
    yield f"{megabytes(commit.raw_bytes)} of tensors, {megabytes(commit.new_bytes)} stored by this commit"
    table = Table("tensor", "type", "shape", "bytes", box=None)
    for name, tensor in sorted(restored.tensors.items()):
        table.add_row(name, tensor.dtype, str(list(tensor.shape)), f"{len(tensor.data):,}")
    yield table


def stored_and_raw(commits: Iterable[Commit]) -> tuple[int, int]:
    """Bytes that commits added to the repository, and bytes of the states they hold."""
    known = list(commits)
    return sum(commit.new_bytes for commit in known), sum(commit.raw_bytes for commit in known)


def figure(value: float | None, digits: int = 2) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _share(stored: int, raw: int) -> str:
    return f"{stored / raw:.2f}" if raw else "–"
