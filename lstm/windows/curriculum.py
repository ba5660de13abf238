"""A curriculum by horizon: near rows are learned first, and the windows stay what they are.

Which rows count is a pure function of a number that a cursor or a commit holds (the epoch, or the step), so
there is nothing to save: whoever goes on there goes on with the same rows.

Source: Bengio, Louradour, Collobert, Weston: Curriculum learning (ICML 2009).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lstm.windows.spec import WindowSpec


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Stages: from which epoch (or step) on how many rows of the horizon count."""

    stages: Sequence[tuple[int, int]]
    """(from, rows) each, the first from 0, rising."""

    def __post_init__(self) -> None:
        stages = tuple((int(first), int(rows)) for first, rows in self.stages)
        object.__setattr__(self, "stages", stages)
        if not stages or stages[0][0] != 0:
            raise ValueError(f"a curriculum begins at 0, got {list(map(list, stages))}")
        if any(one >= other for (one, _), (other, _) in pairwise(stages)):
            raise ValueError(f"stages of a curriculum must follow each other, got {list(map(list, stages))}")
        if wrong := [rows for _, rows in stages if rows < 1]:
            raise ValueError(f"a stage of a curriculum needs >= 1 row of the horizon, got {wrong[0]}")

    def horizon_at(self, number: int) -> int:
        """Rows of the horizon that count at an epoch (or step)."""
        return next(rows for first, rows in reversed(self.stages) if first <= number)

    def check(self, window: WindowSpec) -> None:
        """Raise ValueError where a stage has more rows than the horizon of these windows."""
        most = max(rows for _, rows in self.stages)
        if most > window.horizon:
            raise ValueError(
                f"a curriculum of {most} rows needs windows whose horizon is as long, but it is "
                f"{window.horizon}; lower the stage or raise window.horizon"
            )
