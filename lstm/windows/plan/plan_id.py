"""The hash of all that decides windows and their order: streams and runs tell plans apart by it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from storage.checkpoints.format.canonical import dumps

if TYPE_CHECKING:
    from lstm.windows.plan.plan import Plan

FORMAT = 1
"""Changes whenever the same records would mean other windows or another order."""


def plan_id(plan: "Plan") -> str:
    """64 hexadecimal digits: BLAKE3 of the canonical JSON of all that decides windows and their order."""
    window, split, order = asdict(plan.window), plan.split.to_json(), plan.order.to_json()
    decides = {
        "format": FORMAT,
        "files": plan.files,
        "keys": [plan.column_identities, plan.keys.entity is not None, plan.keys.ordinal],
        "max_gap": plan.keys.max_gap,
        **({} if plan.pieces.stored is None else {"grid": [plan.keys.grid, _digest(plan.table_rows)]}),
        "segments": _digest(
            plan.pieces.series,
            plan.pieces.rows,
            plan.pieces.first_time,
            plan.pieces.last_time,
            plan.segments.first,
        ),
        "window": window,
        "splits": {**split, "boundaries": plan.splits, "rows": _cuts(plan)},
        "nulls": _nulls(plan),
        "sampling": "every window once" if plan.weights is None else _digest(plan.weights),
        "superblocks": _digest(plan.superblock_first),
        "order": order,
    }
    return blake3(dumps(decides)).hexdigest()


def _nulls(plan: "Plan") -> Any:
    if not plan.nulls.policies:
        return "keep"
    columns = [[plan.nulls.identities[name], policy] for name, policy in sorted(plan.nulls.policies.items())]
    return [columns, _digest(plan.nulls.dropped[:, 0], plan.nulls.dropped[:, 1])]


def _cuts(plan: "Plan") -> list[list[Any]]:
    return [[time, _digest(*cut.arrays())] for time, cut in sorted(plan.cuts.items())]


def _digest(*arrays: NDArray[Any]) -> str:
    """BLAKE3 of arrays of numbers: their types, lengths and little-endian bytes."""
    hasher = blake3()
    for array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        hasher.update(dumps([plain.dtype.str, len(plain)]))
        hasher.update(plain.view(np.uint8).data)
    return hasher.hexdigest()
