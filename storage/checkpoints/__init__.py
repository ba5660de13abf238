"""Deduplicated checkpoints: chunks, packs, manifests, heads. The format: docs/checkpoint-format.md.

A program imports from here. The rooms say in their `__init__.py` what they hold.
"""

from storage.checkpoints.background.background_writer import BackgroundWriter, LastSave
from storage.checkpoints.background.recovery import recover
from storage.checkpoints.background.slots import HostSlot, Slot
from storage.checkpoints.background.spool import Spool, spool_folder
from storage.checkpoints.collect.collected import Collected, Ending
from storage.checkpoints.collect.keepers import Freed, Keeper, in_words
from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.collect.repack import Repacked
from storage.checkpoints.collect.shares import RunShare, Shares
from storage.checkpoints.commits.dropping import Dropped
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.damage.findings import Finding, Report
from storage.checkpoints.damage.repairing import Lost, Repaired
from storage.checkpoints.errors import (
    CheckpointError,
    CommitFailed,
    CommitMissing,
    CommitPinned,
    Damaged,
    FileTrouble,
    HeadLost,
    HeadUnreadable,
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
from storage.checkpoints.format.head import Commit, Head, Parent
from storage.checkpoints.format.outer_key import OuterKey
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore.choosing import Restored
from storage.checkpoints.save.delta_policy import EVERY_STEP, DeltaPolicy
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.tensor import DTYPES, Tensor
from storage.checkpoints.together.helping_rank import Helper
from storage.checkpoints.together.leader import Channel, Helpers, worth_sharing
from storage.checkpoints.transfer.copying import Copied, copy_commits

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
    "HeadUnreadable",
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
