"""Deduplicated checkpoints: chunks, packs, manifests, heads. The format: docs/checkpoint-format.md."""

from storage.checkpoints.errors import (
    CheckpointError,
    CommitFailed,
    CommitMissing,
    Damaged,
    InvalidName,
    RepositoryMissing,
    RunExists,
    RunMissing,
    TakenOver,
    TooLarge,
    UnsupportedRepository,
)
from storage.checkpoints.head import Commit, Head, Parent
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore import Restored
from storage.checkpoints.tensor import DTYPES, Tensor
from storage.checkpoints.writer import RunWriter

__all__ = [
    "DTYPES",
    "CheckpointError",
    "Commit",
    "CommitFailed",
    "CommitMissing",
    "Damaged",
    "Head",
    "InvalidName",
    "Parent",
    "Repository",
    "RepositoryMissing",
    "Restored",
    "RunExists",
    "RunMissing",
    "RunWriter",
    "TakenOver",
    "Tensor",
    "TooLarge",
    "UnsupportedRepository",
]
