"""Read commits back."""

from dataclasses import dataclass
from typing import Any

from storage.checkpoints.head import Commit
from storage.checkpoints.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Restored:
    """What a commit held."""

    commit: Commit
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    skipped: tuple[str, ...] = ()
    """Plain words about each newer commit that was passed over because it is damaged."""
    damaged: tuple[str, ...] = ()
    """Their ids."""
