"""What has to be copied out of row groups: for some rows, or for a block.

A block needs the same in every epoch, and to work it out takes longer than to copy a small one, so it is
remembered for plans of few pieces.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstm.windows.block_times import common_step
from lstm.windows.plan import Plan
from lstm.windows.segments import Copies

_REMEMBERED = 1 << 16
"""Pieces of a plan whose blocks are remembered: some 300 bytes for each, 20 MB at most."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Rows to copy out of one row group."""

    group: int
    first: int
    """The first row that is needed of it."""
    end: int
    rows: list[tuple[int, int, int]]
    """First row in the row group, how many, and where the first one goes."""


def moves_of(copies: Copies) -> list[Moves]:
    """The same, row group by row group."""
    order = np.argsort(copies.group, kind="stable")
    group, row, count, place = (it[order] for it in (copies.group, copies.row, copies.count, copies.place))
    edges = np.flatnonzero(np.diff(group, prepend=-1, append=-1)).tolist()
    found = []
    for begin, end in pairwise(edges):
        own = slice(begin, end)
        rows = list(zip(row[own].tolist(), count[own].tolist(), place[own].tolist(), strict=True))
        first, last = int(row[own].min()), int((row[own] + count[own]).max())
        found.append(Moves(int(group[begin]), first, last, rows))
    return found


class Block:
    """What one block is made of."""

    def __init__(self, plan: Plan, superblock: int) -> None:
        parts = plan.superblocks.parts(np.array([superblock]))
        held = parts.stored > 0
        self._begins, self._rows = parts.offset[held], int(parts.stored.sum())
        self.moves = moves_of(plan.segments.copies(parts.first[held], parts.stored[held], self._begins))
        self._step: int | None = None

    def step(self, times: NDArray[np.int64]) -> int:
        """The step of its times, which are the first of `times`: see `common_step`."""
        if self._step is None:
            self._step = common_step(times[: self._rows], self._begins)
        return self._step


class Blocks:
    """The blocks of a plan; for any thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._few = len(plan.pieces) <= _REMEMBERED
        self._known: dict[int, Block] = {}

    def __getitem__(self, superblock: int) -> Block:
        block = self._known.get(superblock)
        if block is None:
            block = Block(self._plan, superblock)
            if self._few:
                self._known[superblock] = block
        return block
