"""Measure one peer, or ours, in its own process: pairs of the bare loop and of it, one after the other.

    python -m benchmarks.window_peers.measure NAME SERIES WINDOWS PAIRS

WINDOWS are those of each series, at each stride.

Prints one line of JSON: for each stride windows per second, the median of (peer ÷ bare loop), and whether
its windows are those of the bare loop.
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.window_peers import libraries, loaders
from benchmarks.window_peers.ours import carousel
from benchmarks.window_peers.rows import HORIZON, LENGTH, Loader, Rows, bare, make_rows, proof

OURS = "carousel"
PEERS: dict[str, Callable[[Rows], Loader]] = {
    "dataloader": loaders.dataloader,
    "dataloader_one_part": loaders.dataloader_one_part,
    "dataloader_getitems": loaders.dataloader_getitems,
    "huggingface": loaders.huggingface,
    "darts": libraries.darts,
    "neuralforecast": libraries.neuralforecast,
    "pytorch_forecasting": libraries.pytorch_forecasting,
    "gluonts": libraries.gluonts,
    "gluonts_default": libraries.gluonts_default,
    "gluonts_splitter": libraries.gluonts_splitter,
    "mosaicml_streaming": loaders.mosaicml_streaming,
}
STRIDES = {"stride_1": 1, "stride_horizon": HORIZON}
_LEAST_S, _MOST_S = 0.2, 60.0


def peers_rows(series: int, windows: int, stride: int) -> Rows:
    """As many rows as make so many windows of each series."""
    return make_rows(series, (windows - 1) * stride + LENGTH, stride)


def windows_per_s(batches: Callable[[], Iterator[Any]], windows: int) -> float:
    """Over whole passes of so many windows, so that what is held back or cut at a pass's start counts.

    Over 0.2 s at least.
    """
    began, count, took = time.perf_counter(), 0, 0.0
    while took < _LEAST_S:
        for batch in batches():
            del batch
        count += windows
        took = time.perf_counter() - began
    return count / took


def beside_bare(batches: Callable[[], Iterator[Any]], rows: Rows, pairs: int) -> dict[str, float]:
    """Medians of windows per second, and of their ratio to the bare loop's, measured before and after.

    No pair begins after a minute: what takes so long varies little.
    """
    speeds, ratios, windows, began = list[float](), list[float](), len(rows.starts), time.perf_counter()
    for seed in range(pairs):
        if speeds and time.perf_counter() - began > _MOST_S:
            break
        loop = partial(bare, rows, seed)
        before = windows_per_s(loop, windows)
        speeds.append(windows_per_s(batches, windows))
        ratios.append(speeds[-1] / statistics.mean([before, windows_per_s(loop, windows)]))
    return {
        "windows_per_s": round(statistics.median(speeds)),
        "over_bare_gather": statistics.median(ratios),
    }


def main() -> None:
    """Measure and print."""
    name, series, windows, pairs = sys.argv[1], *map(int, sys.argv[2:])
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    found = {}
    for label, stride in STRIDES.items():
        rows = peers_rows(series, windows, stride)
        loader = (carousel if name == OURS else PEERS[name])(rows)
        same = not loader.drawn and proof(loader.windows()) == proof(bare(rows, 0))
        found[label] = {**beside_bare(loader.batches, rows, pairs), "same_windows": same}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
