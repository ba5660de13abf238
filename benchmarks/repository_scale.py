"""What does a repository of very many commits cost: to save, resume, restore, collect and verify?

    python -m benchmarks.repository_scale [--quick] [--commits 100,10000,1000000]

The product's own code works on a simulated bucket (`benchmarks.simulated_repository`): one run of 10², 10⁴
and 10⁶ commits beside N ÷ 100 runs of one commit, 20 chunks a commit, 10⁷ different ones in the largest. The
bucket counts requests and bytes; it takes no time. `cpu_s` are CPU seconds of the client's own work (what the
simulation takes to make contents is taken off); a real bucket adds requests × its latency ÷ requests at once
(8 for manifests and deletes). Each size has a process of its own; `peak_mb` is the peak of resident
memory during an operation above what was resident before it (Linux; else how much the process's peak grew).

What is done, in this order: `resume` (open, take over, restore the newest state, which is a real one of 4
MiB), `save` (the steady state: one of two tensors changed), `restore` (a new reader, the newest), `gc` (the
first collection: everything is read, and what belongs to killed saves is deleted), `gc_again` (after one
more save: what the first one has read is remembered in a file), `verify` (structure: heads, pages, manifests,
sizes of packs).

The limit: a save must write its head, and a collection must list all keys (1,000 a request) and read every
manifest once ever. Figures are named <operation>_<what>_<size>, as `save_requests_1e6`; what: `requests`,
`kb_up`, `kb_down`, `cpu_s`, `peak_mb`. `save_growth` and `resume_growth` are bytes moved at the largest
size ÷ at 10⁴ (a head is not full before 512 commits). `--quick`: 10² and 10⁴. All of
it takes about half an hour of a core, nearly all of it 10⁶.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.memory_peak import forget_peak, peak_mb
from benchmarks.report import print_result
from benchmarks.simulated_repository import LONG, SimulatedRepository
from benchmarks.simulated_store import SimulatedStore
from benchmarks.sizes import alone, named
from storage.checkpoints import PackLists, Repository, RunWriter, Tensor

_STEP = 2 * 10**7
"""Beyond all steps that are there."""


class Measured:
    """Figures of one size, by name."""

    def __init__(self, store: SimulatedStore, size: str) -> None:
        self.figures: dict[str, float] = {}
        self._store, self._size = store, size

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Count what the block asks of the bucket."""
        store = self._store
        store.requests.clear()
        sent, received, made = store.sent, store.received, store.made_s
        before = forget_peak()
        began = time.process_time()
        yield
        took = time.process_time() - began - (store.made_s - made)
        found = {
            "requests": float(store.requests.total()),
            "kb_up": (store.sent - sent) / 1000,
            "kb_down": (store.received - received) / 1000,
            "cpu_s": took,
            "peak_mb": peak_mb() - before,
        }
        self.figures |= {f"{name}_{what}_{self._size}": round(value, 4) for what, value in found.items()}
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(store.requests.items()))
        print(
            f"{self._size} {name}: {kinds}; {found['kb_up']:,.1f} kB up, {found['kb_down']:,.1f} kB down;"
            f" {took:.3f} s of CPU, {found['peak_mb']:.0f} MB",
            flush=True,
        )


def measure(commits: int) -> dict[str, float]:
    """All operations on a repository of about so many commits; call it in a process of its own."""
    archive = SimulatedRepository(commits)
    store = SimulatedStore(archive)
    measured = Measured(store, named(commits))
    print(
        f"{named(commits)}: {archive.commits:,} commits in one run, {archive.others:,} more runs,"
        f" {archive.chunks:,} chunks",
        flush=True,
    )
    first = RunWriter.take_over(Repository.open(store, ""), LONG, "a2")
    first.save(_state(0), {}, step=_STEP)
    with measured.operation("resume"):
        writer = RunWriter.take_over(Repository.open(store, ""), LONG, "a3")
        restored = writer.resume()
    assert restored.commit.step == _STEP
    writer.save(_state(1), {}, step=_STEP + 1)
    with measured.operation("save"):
        writer.save(_state(2), {}, step=_STEP + 2)
    with measured.operation("restore"):
        restored = Repository.open(store, "").restore(LONG)
    assert restored.commit.step == _STEP + 2

    repository = Repository.open(store, "")
    with tempfile.TemporaryDirectory(prefix="repository-scale-") as folder:
        lists = Path(folder) / "lists.db"
        with PackLists(lists) as known, measured.operation("gc"):
            collected = repository.collect(lists=known)
        assert collected.deleted.objects == 2 * archive.garbage, collected
        writer.save(_state(3), {}, step=_STEP + 3)
        with PackLists(lists) as known, measured.operation("gc_again"):
            collected = repository.collect(lists=known)
        assert collected.manifests_read == 1, collected
    with measured.operation("verify"):
        report = repository.verify()
    assert report.intact, report
    assert report.commits == archive.commits + archive.others + 4
    return measured.figures


def _state(seed: int) -> dict[str, Tensor]:
    """Two tensors of 2 MiB, of which the seed changes one."""
    drawn = {"still": np.random.default_rng(0), "moving": np.random.default_rng(seed)}
    return {
        name: Tensor.from_numpy(it.standard_normal((512, 1024)).astype(np.float32))
        for name, it in drawn.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a repository of very many commits costs.")
    parser.add_argument("--quick", action="store_true", help="10² and 10⁴ commits only")
    parser.add_argument("--commits", help="sizes, separated by commas")
    options = parser.parse_args()
    usual = "100,10000" if options.quick else "100,10000,1000000"
    sizes = [int(size) for size in (options.commits or usual).split(",")]
    figures: dict[str, float] = {}
    for size in sizes:
        figures |= alone(measure, size)
    if 10**4 in sizes and max(sizes) > 10**4:
        figures |= {f"{name}_growth": _growth(figures, name, max(sizes)) for name in ("save", "resume")}
    print_result("repository_scale", quick=options.quick, figures=figures, peers={})


def _growth(figures: dict[str, float], operation: str, size: int) -> float:
    """Bytes moved at a size ÷ those at 10⁴ commits."""
    large, small = (
        sum(figures[f"{operation}_{way}_{named(it)}"] for way in ("kb_up", "kb_down")) for it in (size, 10**4)
    )
    return round(large / small, 4)


if __name__ == "__main__":
    main()
