"""How large the model, its batches and its memory are: by the number of training windows and the machine."""

import os
from dataclasses import dataclass

import psutil

from lstm.windows import Plan, WindowSpec
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive

_SIZES = ((300, 32, 1), (1_500, 64, 1), (1 << 62, 128, 2))
"""Separate horizons to learn from, below which a row holds: hidden units, layers."""
_BATCHES = ((1_000, 32), (8_000, 128), (1 << 62, 256))
"""Training windows below which a row holds: windows of a batch."""
_MIB = 2**20
_SHARE = 0.4
"""Share of the free memory that all ranks together may hold rows in."""
_LEAST_MIB = 256


@dataclass(frozen=True, slots=True)
class Size:
    """A model and its batches."""

    hidden: int
    layers: int
    batch: int


def choose_size(windows: int, window: WindowSpec, reasons: Reasons) -> Size:
    """A larger model for more windows: a small one cannot learn by heart what there is little of.

    Windows that start a row apart share all rows but one, so those count whose horizons do not overlap.
    """
    apart = max(1, windows * window.stride // window.horizon)
    hidden, layers = next(row[1:] for row in _SIZES if apart < row[0])
    batch = next(row[1] for row in _BATCHES if windows < row[0])
    why = f"for {windows:,} training windows, of which {apart:,} do not overlap in their horizons"
    reasons.add("forecast.hidden", why)
    reasons.add(
        "forecast.layers",
        "one where windows are few" if layers == 1 else "two learn more, and windows are many",
    )
    reasons.add(
        "training.batch_size",
        f"for {windows:,} training windows: {-(-windows // batch):,} steps are an epoch",
    )
    return Size(hidden, layers, batch)


def choose_ranks(reasons: Reasons) -> int:
    """Processes that train."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = min(2, cores)
    reasons.add("training.ranks", f"of {cores} cores")
    return ranks


def choose_memory(plan: Plan, columns: int, ranks: int, reasons: Reasons) -> int:
    """MiB of rows that a rank may hold: what shuffling needs, and the whole table where it fits.

    Raises:
        CannotDerive: this machine cannot hold what shuffling needs.
    """
    row_bytes = 4 * columns + 8
    held = 2 * -(-plan.order.lanes // ranks) * plan.order.pool
    need = 0
    for split in ("train", "validation"):
        blocks = plan.block_rows[plan.split_windows(split).superblocks]
        if len(blocks):
            need += min(len(blocks), held) * int(blocks.max()) * row_bytes
    need_mib = -(-need // _MIB)
    table_mib = -(-plan.rows * row_bytes // _MIB)
    free_mib = int(psutil.virtual_memory().available * _SHARE / ranks / _MIB)
    if need_mib > free_mib:
        raise CannotDerive(
            f"shuffling needs {need_mib:,} MiB of rows in each of {ranks} ranks, and {free_mib:,} MiB "
            "would be its share of this machine's free memory; choose fewer --past columns, or write the "
            "table with smaller row groups (`carousel ingest` does)"
        )
    memory = max(_LEAST_MIB, min(free_mib, need_mib + table_mib))
    reasons.add(
        "training.memory_mib",
        f"of each rank: shuffling needs {need_mib:,} MiB; the rest keeps row groups of the table "
        f"({table_mib:,} MiB as float32) from being fetched twice",
    )
    return memory
