"""Measure one peer in its own process: pairs of the bare loop and the peer, one after the other.

    python -m benchmarks.window_peers.measure NAME SERIES WINDOWS PAIRS

WINDOWS are those of each series, at each stride.

Prints one line of JSON: for each stride windows per second, the median of (peer ÷ bare loop), and the proof
of its windows.
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.window_peers import libraries, loaders
from benchmarks.window_peers.rows import HORIZON, LENGTH, Pass, Rows, bare, make_rows, proof

PEERS: dict[str, Callable[[Rows], Pass]] = {
    "dataloader": loaders.dataloader,
    "dataloader_getitems": loaders.dataloader_getitems,
    "huggingface": loaders.huggingface,
    "darts": libraries.darts,
    "neuralforecast": libraries.neuralforecast,
    "pytorch_forecasting": libraries.pytorch_forecasting,
    "gluonts": libraries.gluonts,
    "mosaicml_streaming": loaders.mosaicml_streaming,
}
STRIDES = {"stride_1": 1, "stride_horizon": HORIZON}
_LEAST_S = 0.2


def peers_rows(series: int, windows: int, stride: int) -> Rows:
    """As many rows as make so many windows of each series."""
    return make_rows(series, (windows - 1) * stride + LENGTH, stride)


def windows_per_s(batches: Pass) -> float:
    """Over whole passes, so that what is held back or cut at a pass's start counts; over 0.2 s at least."""
    began, count, took = time.perf_counter(), 0, 0.0
    while took < _LEAST_S:
        for batch in batches():
            count += len(batch)
        took = time.perf_counter() - began
    return count / took


def beside_bare(batches: Pass, rows: Rows, pairs: int) -> dict[str, float]:
    """Medians of windows per second, and of their ratio to the bare loop's, measured before and after."""
    speeds, ratios = [], []
    for seed in range(pairs):
        loop = partial(bare, rows, seed)
        before = windows_per_s(loop)
        speeds.append(windows_per_s(batches))
        ratios.append(speeds[-1] / statistics.mean([before, windows_per_s(loop)]))
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
        batches = PEERS[name](rows)
        found[label] = {"proof": proof(batches()), **beside_bare(batches, rows, pairs)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
