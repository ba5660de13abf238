"""Run peers, each in a process of its own, and set ours beside the best of each group."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.window_peers import setup

BEST_OF = ("dataloader", "huggingface", "darts", "neuralforecast")
LIBRARIES = ("pytorch_forecasting", "gluonts", "mosaicml_streaming")
SHOWN = ("dataloader_one_part", "dataloader_getitems", "gluonts_splitter")
"""Faster than what people write or get; each is compared by itself."""
DRAWN = "gluonts_default"
"""As many windows, but drawn at random: not the same. So it has a figure of its own."""
PEER_S = 1800
"""A peer that takes longer hangs."""


def peer(name: str, series: int, windows: int, pairs: int, *, allocator: bool) -> dict[str, Any]:
    """What its own process says of each stride, or why it is absent; `allocator`: see `setup.environment`."""
    if why := setup.missing(name):
        return {"absent": why}
    command = [sys.executable, "-m", "benchmarks.window_peers.measure", name, series, windows, pairs]
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            timeout=PEER_S,
            env=setup.environment(name, allocator=allocator),
        )
    except subprocess.TimeoutExpired:
        return {"absent": f"it did not end within {PEER_S} s"}
    if done.returncode:
        return {"absent": (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def over_peers(label: str, ours: dict[str, Any], peers: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Ours, and the bare loop, ÷ the best of each group, of those whose windows are proven to be the same.

    Without such a proof counts what is `DRAWN`, in `window_libraries_by_default`.
    """
    if not ours[label]["same_windows"]:
        raise AssertionError("our windows are not those of the bare loop")
    there = {
        name: it[label]
        for name, it in peers.items()
        if label in it and (it[label]["same_windows"] or name == DRAWN)
    }
    theirs = {name: it["over_bare_gather"] for name, it in there.items()}
    groups = {
        "best_peer": BEST_OF,
        "window_libraries": LIBRARIES,
        "window_libraries_by_default": (DRAWN, *(name for name in LIBRARIES if name != "gluonts")),
        **{name: (name,) for name in SHOWN},
    }
    best = {
        name: max((theirs[it] for it in group if it in theirs), default=0) for name, group in groups.items()
    }
    return {
        f"{who}_over_{name}": speed / found
        for name, found in best.items()
        for who, speed in (("windows", ours[label]["over_bare_gather"]), ("bare", 1.0))
        if found
    }
