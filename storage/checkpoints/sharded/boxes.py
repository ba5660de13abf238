"""Boxes of a tensor: what a rank holds of it, and what a chunk is of it."""

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """All elements from `offsets` on, `sizes` along each axis, in coordinates of the whole tensor."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Self:
        """All of a tensor."""
        return cls((0,) * len(shape), shape)

    @property
    def elements(self) -> int:
        """How many."""
        return math.prod(self.sizes)

    def overlap(self, other: "Box") -> "Box | None":
        """What is in both; None: nothing."""
        offsets, sizes = [], []
        for axis, begin in enumerate(self.offsets):
            low = max(begin, other.offsets[axis])
            high = min(begin + self.sizes[axis], other.offsets[axis] + other.sizes[axis])
            if low >= high:
                return None
            offsets.append(low)
            sizes.append(high - low)
        return Box(tuple(offsets), tuple(sizes))

    def within(self, outer: "Box") -> tuple[slice, ...]:
        """This box in an array that holds `outer`."""
        return tuple(
            slice(begin - start, begin - start + size)
            for begin, start, size in zip(self.offsets, outer.offsets, self.sizes, strict=True)
        )

    def ends(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Where its first and its last element lie in the whole tensor, counted in C order."""
        first = last = 0
        for length, begin, size in zip(shape, self.offsets, self.sizes, strict=True):
            first = first * length + begin
            last = last * length + begin + size - 1
        return first, last


def chunk_box(shape: tuple[int, ...], begin: int, count: int) -> Box:
    """The box of a chunk: elements from `begin` on of a tensor, as `chunks.cut` cuts it."""
    offsets: list[int] = []
    sizes: list[int] = []
    for axis in range(len(shape)):
        row = math.prod(shape[axis + 1 :])
        offsets.append(begin // row)
        if count >= row:
            rows, rest = divmod(count, row)
            assert (begin % row, rest) == (0, 0), (shape, begin, count)
            inner = shape[axis + 1 :]
            return Box((*offsets, *(0 for _ in inner)), (*sizes, rows, *inner))
        sizes.append(1)
        begin %= row
    return Box((), ())
