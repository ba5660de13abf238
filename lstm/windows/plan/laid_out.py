"""What follows from a plan's records but takes seconds to work out for millions of them, frozen beside them.

Thawing a plan then sorts nothing and looks at no part: a first batch comes sooner. The plan's id covers the
records; the bytes of all of it are checked by the commit that holds them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.packing import pack, unpack
from lstm.windows.index.segments import Links, Pieces, Segments, chain
from lstm.windows.plan.superblocks import Survey
from lstm.windows.spec import SPLITS

FORMAT = 1
"""Changes whenever the same records would be laid out differently; another one is worked out anew."""
MANY = 1 << 16
"""Pieces from which on it is worth its place."""


def freeze_layout(segments: Segments, survey: Survey) -> dict[str, Any]:
    """As a value of canonical JSON; steps in the place of places, since they are alike."""
    return {
        "format": FORMAT,
        "chained": pack(np.diff(segments.chained, prepend=segments.chained.dtype.type(0))),
        "first_piece": pack(np.diff(segments.first_piece[:-1], prepend=0)),
        "block_rows": pack(survey.block_rows),
        "counts": {split: pack(survey.counts[split]) for split in SPLITS},
    }


def thaw_layout(values: dict[str, Any], pieces: Pieces) -> tuple[Segments, Survey] | None:
    """The inverse of `freeze_layout`; None: another version wrote it.

    Raises:
        ValueError: it does not fit the pieces.
    """
    if values["format"] != FORMAT:
        return None
    small = len(pieces) < 2**31
    order: NDArray[np.integer] = np.cumsum(
        unpack(values["chained"], np.int32 if small else np.int64), dtype=np.int32 if small else np.int64
    )
    cuts = np.cumsum(unpack(values["first_piece"], np.int64))
    survey = Survey(
        unpack(values["block_rows"], np.int64),
        {split: unpack(values["counts"][split], np.int64) for split in SPLITS},
    )
    if len(order) != len(pieces) or not len(cuts) or cuts[0] != 0 or cuts[-1] >= len(order):
        raise ValueError(f"{len(order)} places and {len(cuts)} segments for {len(pieces)} pieces")
    if order.min() < 0 or order.max() >= len(order):
        raise ValueError("a place is no piece")
    return chain(pieces, Links(order, cuts, np.empty(0, np.int64))), survey
