"""How far saves may rest on earlier ones."""

import math
from dataclasses import dataclass

from storage.checkpoints.format.locations import DEPTH_LIMIT


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaPolicy:
    """When a save stores differences from the one before, and when everything alone (a keyframe)."""

    read_limit: float = 3.0
    """Bytes that a restore may have to read ÷ raw bytes of the state. A save that would exceed it, if it
    adds a quarter more than any since the last keyframe, is a keyframe. 0: every save is one."""

    def __post_init__(self) -> None:
        if not self.read_limit >= 0:
            raise ValueError(f"DeltaPolicy.read_limit must be >= 0, got {self.read_limit}")


EVERY_STEP = DeltaPolicy(read_limit=12.0)
"""For runs that save after every step or two, and are seldom restored: fewer keyframes, a longer read."""

_RECORD_BYTES = 150
"""That a manifest spends on one chunk of a chain."""


def chain_limit(raw_bytes: int, stage: int) -> int:
    """Links of the longest chain of predictions that is worth its records in manifests.

    Each further link is named by every later manifest, so n links cost n²/2 records, against one chunk that
    is stored alone; alone takes about half of its raw bytes more than a prediction. Together they are
    least at n = √(raw bytes ÷ record bytes).

    Args:
        raw_bytes: of the chunk.
        stage: of `Predictor.stages`. What is predicted from earlier stages stands one link above them: with
            one more per stage, a weight and its moments are stored alone in the same save.
    """
    return min(DEPTH_LIMIT, math.isqrt(raw_bytes // _RECORD_BYTES) + stage)
