"""What has to be copied out of row groups: for some rows, or for a block.

A block needs the same in every epoch, and to work it out takes longer than to copy a small one, so where all
blocks together take few copies it is worked out once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.segments import Copies
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import Parts
from lstm.windows.read.block_times import common_step

FEW = 1 << 16
"""Copies out of row groups up to which all blocks of a plan are remembered: some 400 bytes each, 26 MB."""


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
    return _by_group(*(it[order] for it in (copies.group, copies.row, copies.count, copies.place)))


def _by_group(
    group: NDArray[np.int64], row: NDArray[np.int64], count: NDArray[np.int64], place: NDArray[np.int64]
) -> list[Moves]:
    """Of copies [k] that stand row group by row group."""
    found: dict[int, list[tuple[int, int, int]]] = {}
    copies = zip(row.tolist(), count.tolist(), place.tolist(), strict=True)
    for number, copy in zip(group.tolist(), copies, strict=True):
        found.setdefault(number, []).append(copy)
    return [
        Moves(number, min(row for row, _, _ in rows), max(row + count for row, count, _ in rows), rows)
        for number, rows in found.items()
    ]


class Block:
    """What one block is made of."""

    def __init__(self, moves: list[Moves], begins: NDArray[np.int64], rows: int) -> None:
        """`begins` are the rows at which its parts begin, `rows` how many it has."""
        self.moves, self._begins, self._rows = moves, begins, rows
        self._step: int | None = None
        # no cached_property: its lock is one for all blocks, and stays held where a process is forked
        self.groups = [move.group for move in moves]
        """The row groups that it is copied from, each once."""

    def step(self, times: NDArray[np.int64]) -> int:
        """The step of its times, which are the first of `times`: see `common_step`."""
        if self._step is None:
            self._step = common_step(times[: self._rows], self._begins)
        return self._step


class _Stored:
    """What some blocks are made of, as arrays."""

    def __init__(self, plan: Plan, parts: Parts, count: int) -> None:
        """Of `count` blocks, whose superblocks have these parts."""
        held = parts.stored > 0
        owner, stored, self._begins = parts.owner[held], parts.stored[held], parts.offset[held]
        copies = plan.segments.copies(parts.first[held], stored, self._begins)
        block = owner[copies.owner]
        order = np.lexsort((copies.group, block))
        self._copies = [it[order] for it in (copies.group, copies.row, copies.count, copies.place)]
        edges = np.arange(count + 1)
        self._copy_edges = np.searchsorted(block[order], edges)
        self._part_edges = np.searchsorted(owner, edges)
        self._block_groups = block[order], self._copies[0]
        self._rows = np.bincount(owner, weights=stored, minlength=count).astype(np.int64)

    def block(self, place: int) -> Block:
        """The block at a place among those asked for."""
        copies = slice(*self._copy_edges[place : place + 2])
        parts = slice(*self._part_edges[place : place + 2])
        moves = _by_group(*(it[copies] for it in self._copies))
        return Block(moves, self._begins[parts], int(self._rows[place]))

    def uses(self, groups: int) -> NDArray[np.int64]:
        """[groups] how many of the blocks are copied from each row group."""
        block, group = self._block_groups
        first = np.append(True, (np.diff(block) != 0) | (np.diff(group) != 0))[: len(group)]
        return np.bincount(group[first], minlength=groups)


class Blocks:
    """The blocks of a plan; for any thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._all = _all_of(plan)
        self._known: dict[int, Block] = {}

    @property
    def remembered(self) -> bool:
        """Whether each block is worked out once; else whenever it is asked for."""
        return self._all is not None

    def uses(self) -> NDArray[np.int64]:
        """[G] how many blocks are copied from each row group, if they are remembered."""
        assert self._all is not None
        return self._all.uses(len(self._plan.pieces.group_rows))

    def __getitem__(self, superblock: int) -> Block:
        if self._all is None:
            return _Stored(self._plan, self._plan.superblocks.parts(np.array([superblock])), 1).block(0)
        block = self._known.get(superblock)
        if block is None:
            block = self._known[superblock] = self._all.block(superblock)
        return block


def _all_of(plan: Plan) -> _Stored | None:
    """What all blocks of a plan are made of; None: of too many copies."""
    if len(plan.pieces) > FEW:
        return None
    count = len(plan.superblocks)
    parts = plan.superblocks.parts(np.arange(count))
    held = parts.stored > 0
    if plan.segments.count_copies(parts.first[held], parts.stored[held]) > FEW:
        return None
    return _Stored(plan, parts, count)
