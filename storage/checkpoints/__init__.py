"""Deduplicated checkpoints: chunks, packs, manifests, heads. The format: docs/checkpoint-format.md."""

from storage.checkpoints.background import BackgroundWriter, LastSave
from storage.checkpoints.collected import Collected, Ending
from storage.checkpoints.copying import Copied, copy_commits
from storage.checkpoints.delta_policy import EVERY_STEP, DeltaPolicy
from storage.checkpoints.dropping import Dropped
from storage.checkpoints.errors import (
    CheckpointError,
    CommitFailed,
    CommitMissing,
    CommitPinned,
    Damaged,
    FileTrouble,
    HeadLost,
    HelperFailed,
    InexactArithmetic,
    InvalidName,
    NotDurable,
    NothingToRepair,
    RankGone,
    RepositoryMissing,
    RunExists,
    RunMissing,
    SameRepository,
    SaveDropped,
    SavingEnded,
    TakenOver,
    TooLarge,
    UnsupportedRepository,
    WrongKey,
)
from storage.checkpoints.findings import Finding, Report
from storage.checkpoints.head import Commit, Head, Parent
from storage.checkpoints.helper import Helper
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.keepers import Freed, Keeper, in_words
from storage.checkpoints.leader import Channel, Helpers, worth_sharing
from storage.checkpoints.outer_key import OuterKey
from storage.checkpoints.pack_lists import PackLists
from storage.checkpoints.recovery import recover
from storage.checkpoints.repack import Repacked
from storage.checkpoints.repairing import Lost, Repaired
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore import Restored
from storage.checkpoints.retention import Retention
from storage.checkpoints.shares import RunShare, Shares
from storage.checkpoints.slots import HostSlot, Slot
from storage.checkpoints.spool import Spool, spool_folder
from storage.checkpoints.tensor import DTYPES, Tensor
from storage.checkpoints.writer import RunWriter

__all__ = [
    "DTYPES",
    "EVERY_STEP",
    "AdamHint",
    "BackgroundWriter",
    "Channel",
    "CheckpointError",
    "Collected",
    "Commit",
    "CommitFailed",
    "CommitMissing",
    "CommitPinned",
    "Copied",
    "Damaged",
    "DeltaPolicy",
    "Dropped",
    "Ending",
    "FileTrouble",
    "Finding",
    "Freed",
    "Head",
    "HeadLost",
    "Helper",
    "HelperFailed",
    "Helpers",
    "HostSlot",
    "InexactArithmetic",
    "InvalidName",
    "Keeper",
    "LastSave",
    "Lost",
    "NotDurable",
    "NothingToRepair",
    "OuterKey",
    "PackLists",
    "Parent",
    "RankGone",
    "Repacked",
    "Repaired",
    "Report",
    "Repository",
    "RepositoryMissing",
    "Restored",
    "Retention",
    "RunExists",
    "RunMissing",
    "RunShare",
    "RunWriter",
    "SameRepository",
    "SaveDropped",
    "SavingEnded",
    "Shares",
    "Slot",
    "Spool",
    "TakenOver",
    "Tensor",
    "TooLarge",
    "UnsupportedRepository",
    "WrongKey",
    "copy_commits",
    "in_words",
    "recover",
    "spool_folder",
    "worth_sharing",
]
