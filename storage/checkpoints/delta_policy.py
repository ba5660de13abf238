"""How far saves may rest on earlier ones."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaPolicy:
    """When a save stores differences from the one before, and when everything alone (a keyframe)."""

    read_limit: float = 3.0
    """Bytes that a restore may have to read ÷ raw bytes of the state. A save that would exceed it, if it
    adds as much as the one before, is a keyframe. 0: every save is one."""

    def __post_init__(self) -> None:
        if not self.read_limit >= 0:
            raise ValueError(f"DeltaPolicy.read_limit must be >= 0, got {self.read_limit}")


EVERY_STEP = DeltaPolicy(read_limit=12.0)
"""For runs that save after every step or two, and are seldom restored: fewer keyframes, a longer read."""
