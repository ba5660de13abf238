"""How the runs of a repository stand: finished, being trained, or cut short and how to go on."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.surroundings.at_work import Work
from pipelines.surroundings.connect import Connection
from storage.checkpoints import CheckpointError, Commit, Repository, RepositoryMissing

State = Literal["training", "finished", "cut short", "not begun", "imported", "damaged"]
SHOWN = 20
"""Runs that are looked at closely, those with the newest commits: each costs a request for its manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """One run."""

    run: str
    state: State
    step: int
    """Of its newest commit."""
    steps: int | None
    """Of its budget; None where that cannot be read."""
    commits: int
    newest: str | None
    """When its newest commit was written, ISO 8601; None: it has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """The runs of one repository, the one with the newest commit first."""

    runs: list[RunState]
    left_out: int
    """Older runs that were not looked at."""


def states(connection: Connection, root: Path, work: Iterable[Work]) -> Runs:
    """The runs of the repository, and those launched from `root` that have no commit yet.

    Args:
        connection: where the repository is.
        root: remembers what was launched from it.
        work: who works there now.
    """
    trained = {it.run for it in work if it.run is not None}
    try:
        repository = connection.existing_repository()
    except RepositoryMissing:
        return Runs(runs=[], left_out=0)
    known = {run: repository.commits(run) for run in repository.runs()}
    order = sorted(known, key=lambda run: max((it.created for it in known[run]), default=""), reverse=True)
    found = [_state(repository, run, known[run], run in trained) for run in order[:SHOWN]]
    for run, steps in _launched(connection, root).items():
        if run not in known:
            state: State = "training" if run in trained else "not begun"
            found.append(RunState(run=run, state=state, step=0, steps=steps, commits=0, newest=None))
    return Runs(runs=found, left_out=max(0, len(order) - SHOWN))


def _state(repository: Repository, run: str, commits: tuple[Commit, ...], is_trained: bool) -> RunState:
    whole = [commit for commit in commits if not commit.damaged]
    newest = max(whole, key=lambda commit: commit.step, default=None)
    state: State = "training" if is_trained else "not begun"
    steps = None
    if newest is not None:
        try:
            meta = repository.restore(run, newest.id, names=()).meta
            if "job" in meta:  # as every training has it, of whichever version
                steps = int(meta["job"]["training"]["steps"])
                state = "training" if is_trained else "finished" if meta["finished"] else "cut short"
            else:
                state = "imported"
        except (CheckpointError, KeyError):
            state = "damaged"
    return RunState(
        run=run,
        state=state,
        step=0 if newest is None else newest.step,
        steps=steps,
        commits=len(commits),
        newest=None if newest is None else newest.created,
    )


def _launched(connection: Connection, root: Path) -> dict[str, int]:
    """Runs that were launched from `root` into this repository, with the steps of their budget."""
    found = {}
    for path in sorted((root / "runs").glob("*.json")):
        try:
            job = json.loads(path.read_text())
            if (job["bucket"], job["repository"]) == (connection.bucket.name, connection.prefix):
                found[str(job["run"])] = int(job["training"]["steps"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # written whole, so it is none of ours
    return found
