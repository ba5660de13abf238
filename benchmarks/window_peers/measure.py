"""Measure one peer in its own process: pairs of the bare loop and the peer, one after the other.

    python -m benchmarks.window_peers.measure NAME SERIES ROWS PAIRS

Prints one line of JSON: windows per second, the median of (peer ÷ bare loop), the proof of its windows.
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.window_peers import libraries, loaders
from benchmarks.window_peers.rows import BATCH, Rows, bare, make_rows, proof

PEERS: dict[str, Callable[[Rows], Iterator[torch.Tensor]]] = {
    "dataloader": loaders.dataloader,
    "dataloader_getitems": loaders.dataloader_getitems,
    "huggingface": loaders.huggingface,
    "darts": libraries.darts,
    "pytorch_forecasting": libraries.pytorch_forecasting,
    "gluonts": libraries.gluonts,
}


def windows_per_s(batches: Iterator[Any]) -> float:
    """After the first batch, for which some libraries prepare all that they need."""
    next(batches)
    began, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    name, series, count, pairs = sys.argv[1], *map(int, sys.argv[2:])
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows, peer = make_rows(series, count), PEERS[name]
    windows, digest = proof(peer(rows))
    speeds, ratios = [], []
    for seed in range(pairs):
        base = _bare_speed(rows, seed)
        speeds.append(windows_per_s(peer(rows)))
        ratios.append(speeds[-1] / statistics.mean([base, _bare_speed(rows, seed)]))
    print(
        json.dumps(
            {
                "windows_per_s": round(statistics.median(speeds)),
                "over_bare_gather": statistics.median(ratios),
                "proof": [windows, digest],
            }
        )
    )


def _bare_speed(rows: Rows, seed: int) -> float:
    """Over a few thousand batches at least: the loop is quick."""
    rounds = max(1, 1000 * BATCH // len(rows.starts))
    return statistics.median(windows_per_s(bare(rows, seed)) for _ in range(rounds))


if __name__ == "__main__":
    main()
