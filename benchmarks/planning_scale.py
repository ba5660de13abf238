"""How long does it take to plan a table of very many files, and from a plan to the first batch?

    python -m benchmarks.planning_scale [--quick] [--files 10000,1000000]

The product's own code on simulated metadata (`benchmarks.simulated_table`): N files of 50 pieces each, a
cached index of them, every request 20 ms, windows of 96 + 24 rows at every row, one feature. Each size has a
process of its own.

- `plan_s_<size>_files`: from a pinned snapshot to a plan, from the cached index; `index_gets_…`: its requests
- `plan_mb_<size>_files`: the most memory above what was resident before, of indexing and planning (Linux;
  else how much the process's peak grew); the snapshot's own list of files, `snapshot_mb_…`, is not counted
- `frozen_mb_<size>_files`: the plan as a run's first commit keeps it
- `first_batch_s_<size>_files`: from the frozen plan, in packs of 64 MiB, to the first batch of 256 of a
  shuffled epoch; `thaw_s_…`: its part until there is a plan, `lay_out_s_…`: until there is a stream;
  `first_batch_gets_…`: requests, those for the packs included

The limit: a first batch of 256 windows of 48 lanes with pools of 6 superblocks needs about 180 superblocks,
each with the row group that its halo lies in.
Times are those of the wall, on a machine that nothing else should use. `--quick`: 10³ and 10⁴ files.
"""

import argparse
import time

from benchmarks.memory_peak import forget_peak, peak_mb
from benchmarks.report import print_result
from benchmarks.simulated_table import CachedIndex, SimulatedSnapshot
from benchmarks.sizes import alone, named
from lstm.windows import (
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.table.keys import keys_for
from storage.checkpoints.format.manifest import PACK_LIMIT

LATENCY_S = 0.02
BATCH = 256


def measure(files: int) -> dict[str, float]:
    """Plan, freeze, thaw, and stream one batch; call it in a process of its own."""
    size = f"{named(files)}_files"
    before = forget_peak()
    snapshot = SimulatedSnapshot(files, LATENCY_S)
    snapshot_mb = peak_mb() - before
    cache = CachedIndex(snapshot, keys_for(snapshot.schema, "sensor", "time", None), LATENCY_S)
    before = forget_peak()
    began = time.perf_counter()
    index = index_snapshot(snapshot, entity="sensor", time="time", cache=cache)  # type: ignore[arg-type]  # as much of a bucket as it needs
    indexed = time.perf_counter()
    plan = make_plan(index, WindowSpec(context=96, horizon=24), SplitSpec(), OrderSpec())
    windows = plan.windows("train")
    planned = time.perf_counter()
    figures = {
        "plan_s": planned - began,
        "index_s": indexed - began,
        "index_gets": float(cache.requests),
        "plan_mb": peak_mb() - before,
        "snapshot_mb": snapshot_mb,
    }
    _show(size, figures)
    frozen, identity = plan.to_bytes(), plan.id
    figures["frozen_mb"] = len(frozen) / 2**20
    del index, plan, cache
    figures |= first_batch(frozen, snapshot, identity, windows)
    _show(size, figures)
    return {f"{name}_{size}": round(value, 4) for name, value in figures.items()}


def first_batch(frozen: bytes, snapshot: SimulatedSnapshot, identity: str, windows: int) -> dict[str, float]:
    """From a frozen plan that lies in the bucket to a batch."""
    packs = -(-len(frozen) // PACK_LIMIT)
    snapshot.requests = 0
    forget_peak()
    began = time.perf_counter()
    time.sleep(LATENCY_S * 2)  # manifest, and packs side by side
    plan = Plan.from_bytes(frozen)
    thawed = time.perf_counter()
    reader = WindowReader(snapshot, plan, ["value"], 2**30)
    with WindowStream(plan, reader, "train", seed=0, batch_size=BATCH) as stream:
        laid_out = time.perf_counter()
        batch = next(iter(stream))
        ended, requests = time.perf_counter(), snapshot.requests  # more are on their way
    assert (len(batch.values), plan.id, plan.windows("train")) == (BATCH, identity, windows)
    return {
        "thaw_s": thawed - began,
        "lay_out_s": laid_out - thawed,
        "first_batch_s": ended - began,
        "first_batch_gets": float(1 + packs + requests),
    }


def _show(size: str, figures: dict[str, float]) -> None:
    print(f"{size}: " + ", ".join(f"{name} {value:,.3f}" for name, value in figures.items()), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What planning a table of very many files costs.")
    parser.add_argument("--quick", action="store_true", help="10³ and 10⁴ files only")
    parser.add_argument("--files", help="sizes, separated by commas")
    options = parser.parse_args()
    usual = "1000,10000" if options.quick else "10000,100000,1000000"
    figures: dict[str, float] = {}
    for size in (options.files or usual).split(","):
        figures |= alone(measure, int(size))
    print_result("planning_scale", quick=options.quick, figures=figures, peers={})


if __name__ == "__main__":
    main()
