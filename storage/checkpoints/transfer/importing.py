"""Make a commit of a state that comes from elsewhere, once: the same state again adds nothing."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from storage.checkpoints.commits.said import Said
from storage.checkpoints.errors import InvalidName, RunExists, RunMissing
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.names import TEXT_LIMIT, checked_tags, checked_text, checked_word
from storage.checkpoints.format.pages import WholeRun, read_whole
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore.choosing import NEWEST
from storage.checkpoints.save.delta_policy import DeltaPolicy
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.tensor import Tensor

_WRITER = "import-"
"""Begins the name of whoever imports: a run that is trained is never added to."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A state that is a commit now."""

    commit: Commit
    added: bool
    """False: the run had it already."""


def import_state(
    repository: Repository,
    run: str,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    *,
    step: int = 0,
    tags: Collection[str] = (),
    note: str = "",
) -> Imported:
    """Commit a state as a new run, or as another step of a run that consists of imports.

    Memory: what encoding takes; tensors may be views of a mapped file.

    Raises:
        RunExists: the run is trained, or has another state of this step.
        InvalidName, TooLarge, WrongKey.
    """
    checked_word(run, "run")
    said = Said(tags=checked_tags(tags), note=note)
    if "" in said.tags or NEWEST in said.tags or len(note) > TEXT_LIMIT:
        raise InvalidName(
            f"a tag is neither empty nor {NEWEST!r}, and a note has at most {TEXT_LIMIT} characters"
        )
    checked_text(note, "the note")
    identity = Draft.of(tensors, meta, step, repository.shelf.identity).id
    try:
        whole = read_whole(repository.shelf, run)
    except RunMissing:
        writer = RunWriter.create(repository, run, _WRITER + secrets.token_hex(6))
    else:
        for commit in whole.commits:
            if commit.id == identity and not commit.damaged:
                return Imported(_with_marks(repository, run, commit, said), added=False)
        _refuse_others(run, whole, step)
        writer = RunWriter.take_over(repository, run, _WRITER + secrets.token_hex(6))
    writer.deltas = DeltaPolicy(read_limit=0)  # else the writer would keep a copy of the state
    return Imported(writer.save_said(tensors, meta, step=step, said=said), added=True)


def _with_marks(repository: Repository, run: str, commit: Commit, said: Said) -> Commit:
    for tag in said.tags:
        if tag not in commit.tags:
            commit = repository.tag(run, commit.id, tag)
    if said.note and said.note != commit.note:
        commit = repository.note(run, commit.id, said.note)
    return commit


def _refuse_others(run: str, whole: WholeRun, step: int) -> None:
    if not whole.head.writer.startswith(_WRITER):
        raise RunExists(
            f"run {run!r} is there already, and was not imported (its writer is {whole.head.writer!r});"
            " choose another name"
        )
    if any(commit.step == step and not commit.damaged for commit in whole.commits):
        raise RunExists(
            f"run {run!r} has another state of step {step} already; choose another --step, or another name"
        )
