"""What a user says about windows: their lengths, their splits by time, their order."""

import math
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowSpec:
    """How one series is cut into windows. All lengths are in rows."""

    context: int
    """Rows the model sees (168 = one week of hours)."""
    horizon: int
    """Rows the model predicts."""
    stride: int = 1
    """Rows between the starts of consecutive windows."""

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "stride"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"WindowSpec.{name} must be >= 1 row, got {value}")

    @property
    def length(self) -> int:
        """Rows of one window: context + horizon."""
        return self.context + self.horizon


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSpec:
    """How the table's span of time is divided: training first, then validation, then test.

    A window belongs to the split that holds its whole horizon. Its context may reach back into earlier
    splits; a horizon that straddles a boundary belongs to no split.
    """

    validation: float = 0.15
    """Share of the span of time, before the test split; a training needs one."""
    test: float = 0.15
    """Share of the span of time, at its end; 0: no test split."""
    embargo_rows: int = 0
    """Sampling intervals left out before each boundary, so that neighbours across it are less alike."""

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value < 1):
                raise ValueError(f"SplitSpec.{name} must be a share in [0, 1), got {value}")
        if self.validation + self.test >= 1:
            raise ValueError(
                f"SplitSpec.validation + SplitSpec.test must leave a share for training, "
                f"got {self.validation} + {self.test}"
            )
        if self.embargo_rows < 0:
            raise ValueError(f"SplitSpec.embargo_rows must be >= 0, got {self.embargo_rows}")


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderSpec:
    """How an epoch is shuffled, and what becomes of its last batch."""

    lanes: int = 48
    """Sub-streams of an epoch, the same at any number of ranks; at least the number of ranks."""
    pool: int = 4
    """Successive superblocks of a lane whose windows are shuffled together; memory grows with it."""
    last: Literal["short", "drop", "wrap"] = "short"
    """The last, short batch of an epoch: trained on, dropped, or filled with the epoch's first windows."""

    def __post_init__(self) -> None:
        for name in ("lanes", "pool"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"OrderSpec.{name} must be >= 1, got {value}")
        if self.last not in ("short", "drop", "wrap"):
            raise ValueError(f"OrderSpec.last must be short, drop or wrap, got {self.last!r}")
