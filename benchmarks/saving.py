"""What a checkpoint costs training that goes on beside it.

    python -m benchmarks.saving [--quick] [--pairs N]

A real LSTM trains on one thread, in steps of about 100 ms, with the optimiser state of Adam; its saves go
through `BackgroundWriter` to the embedded S3 server, which works on the same machine. What is compared comes
in interleaved pairs, so that a machine that grows slower does so for both. `--quick`: fewer pairs, no 1 GB.

Figures, 32 MB of state unless they say 1 GB:

- `stall_over_memcpy`: seconds that `save` keeps the training thread ÷ a copy of the same bytes into memory
  that was touched before; `stall_ms` the former
- `slowdown_every_50`: how much longer 50 steps take with one save among them (0.02: two per cent), the
  median of pairs; `..._low` and `..._high`: a 95% interval of it
- `slowdown_every_50_on_core` leaves out the time that the training thread waited for a core, so that it can
  be read on a machine where others work too (Linux); `..._on_core_low` and `..._high` as above
- `durable_s`: from the call until the commit is in the bucket, beside training
- `stall_over_memcpy_1gb`, `stall_ms_1gb`, `durable_s_1gb`, and `slowdown_1gb`: of the steps during that save
- `peak_rss_mb`, `peak_rss_mb_1gb`: largest resident memory of the process, state and PyTorch included;
  `peak_over_before_mb`, `…_1gb`: of it, what the saves took
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.report import print_result
from benchmarks.spread import interval
from lstm.training.config import TrainingConfig
from lstm.training.learner import Learner
from storage.checkpoints import BackgroundWriter, Commit, Repository, RunWriter, Tensor
from storage.local import LocalServer
from storage.objects import Access, Bucket

STEP_S = 0.1
EVERY = 50
"""Steps between two saves."""
_TRIES, _NEAR = 12, 0.05
"""Of finding rows whose steps take as long, and how near that must come."""


class Training:
    """An LSTM whose weights and moments take about `megabytes`, and whose steps take about `STEP_S`."""

    def __init__(self, megabytes: float) -> None:
        hidden = int((megabytes * 2**20 / 4 / 3 / 16) ** 0.5)  # two layers: 16 hidden² weights, 3 states each
        torch.manual_seed(0)
        self.model = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True)
        self.learner = Learner.of(self.model, TrainingConfig())
        self.hidden, self.rows, self.done = hidden, 1, 0
        for _ in range(_TRIES):  # more rows take less time each
            share = self._fastest() / STEP_S
            if abs(share - 1) < _NEAR:
                break
            self.rows = max(1, round(self.rows / max(share, 1 / 8)))

    def step(self) -> None:
        """Forward, backward, Adam."""
        output, _ = self.model(torch.randn(self.rows, 8, self.hidden))
        output.square().mean().backward()
        self.learner.update(1e-3)
        self.learner.optimizer.zero_grad()
        self.done += 1

    def steps(self, count: int) -> float:
        """Seconds that so many steps take."""
        began = time.perf_counter()
        for _ in range(count):
            self.step()
        return time.perf_counter() - began

    def save(self, saver: BackgroundWriter[Tensor]) -> "Future[Commit]":
        """As the training loop does."""
        return saver.save(self.learner.tensors(), {}, step=self.done, hints=self.learner.hints())

    def _fastest(self) -> float:
        return min(_seconds(self.step)[1] for _ in range(4))


@dataclass(frozen=True, slots=True)
class Stall:
    """Seconds, medians of pairs."""

    save_s: float
    memcpy_s: float

    @property
    def ratio(self) -> float:
        """The first ÷ the second."""
        return self.save_s / self.memcpy_s


def stall(saver: BackgroundWriter[Tensor], training: Training, pairs: int) -> Stall:
    """How long `save` keeps its caller, against a plain copy of the same bytes; nothing else runs."""
    copied = {name: np.zeros(it.nbytes, np.uint8) for name, it in training.learner.tensors().items()}
    saves, copies = [], []
    for number in range(pairs + saver.in_flight):  # the first ones touch the saver's memory
        training.step()
        began = time.perf_counter()
        state = training.learner.tensors()
        saver.save(state, {}, step=training.done, hints=training.learner.hints())
        saved = time.perf_counter()
        for name, tensor in state.items():
            np.copyto(copied[name], np.frombuffer(tensor.data, np.uint8))
        ended = time.perf_counter()
        if number >= saver.in_flight:
            saves.append(saved - began)
            copies.append(ended - saved)
        saver.wait()
    return Stall(statistics.median(saves), statistics.median(copies))


@dataclass(frozen=True, slots=True)
class Slowdown:
    """Shares by which steps take longer, pair by pair."""

    wall: list[float]
    on_core: list[float]
    """Without the time for which the thread could have run and had no core."""

    def figures(self) -> dict[str, float]:
        """Medians and their intervals."""
        figures: dict[str, float] = {}
        for name, shares in (("slowdown_every_50", self.wall), ("slowdown_every_50_on_core", self.on_core)):
            low, high = interval(shares)
            figures |= {name: statistics.median(shares), f"{name}_low": low, f"{name}_high": high}
        return figures


def slowdown(saver: BackgroundWriter[Tensor], training: Training, pairs: int) -> Slowdown:
    """How much longer `EVERY` steps take with a save; pairs come in the one order and the other."""

    def plain() -> None:
        training.steps(EVERY)

    def with_save() -> None:
        training.save(saver)
        training.steps(EVERY)

    walls, cores = [], []
    for number in range(pairs):
        taken = {}
        for block in (plain, with_save) if number % 2 else (with_save, plain):
            taken[block] = _seconds(block)
            saver.wait()
        walls.append(taken[with_save][0] / taken[plain][0] - 1)
        cores.append(taken[with_save][1] / taken[plain][1] - 1)
    return Slowdown(walls, cores)


def _seconds(block: Callable[[], None]) -> tuple[float, float]:
    """Wall time of a block, and the same without waiting for a core."""
    began, waited = time.perf_counter(), _waited_for_a_core_s()
    block()
    wall = time.perf_counter() - began
    return wall, wall - (_waited_for_a_core_s() - waited)


def _waited_for_a_core_s() -> float:
    """Of this thread, since it began; 0 where the kernel does not tell."""
    told = Path("/proc/thread-self/schedstat")
    return int(told.read_text().split()[1]) / 1e9 if told.exists() else 0.0


def beside_one_save(saver: BackgroundWriter[Tensor], training: Training) -> tuple[float, float]:
    """Seconds until a save is durable, and how much longer the steps meanwhile take."""
    plain = training.steps(20) / 20
    began = time.perf_counter()
    future = training.save(saver)
    taken = []
    while not future.done():
        taken.append(training.steps(1))
    return time.perf_counter() - began, statistics.median(taken) / plain - 1


def measure(megabytes: float, pairs: int, slow_pairs: int, access: Access, bucket: str) -> dict[str, float]:
    """All figures of one size of state; call it in a process of its own, for the sake of the peak."""
    torch.set_num_threads(1)
    training = Training(megabytes)
    writer = RunWriter.create(Repository.create(Bucket(bucket, access), "saving"), f"mb{megabytes:g}", "a1")
    before = _peak_mb()
    size, most = training.learner.state_bytes, 1 if megabytes > 100 else 2
    with BackgroundWriter[Tensor](writer, in_flight=most, state_bytes=size) as saver:
        stalled = stall(saver, training, pairs)
        slow = slowdown(saver, training, slow_pairs).figures() if slow_pairs else {}
        durable_s, beside = beside_one_save(saver, training)
    return {
        "state_mb": sum(it.nbytes for it in training.learner.tensors().values()) / 2**20,
        "step_ms": training.steps(10) * 100,
        "stall_over_memcpy": stalled.ratio,
        "stall_ms": stalled.save_s * 1e3,
        **slow,
        "durable_s": durable_s,
        "slowdown_beside": beside,
        "peak_rss_mb": _peak_mb(),
        "peak_over_before_mb": _peak_mb() - before,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def in_child(function: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """The same in a fresh process, so that its peak is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a checkpoint costs training that goes on beside it.")
    parser.add_argument("--quick", action="store_true", help="fewer pairs, no 1 GB")
    parser.add_argument("--pairs", type=int, help="pairs of 50 steps with and without a save")
    options = parser.parse_args()
    pairs = options.pairs or (3 if options.quick else 20)
    with tempfile.TemporaryDirectory(prefix="saving-") as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            Bucket("saving", server.access).create()
            small = in_child(measure, 32.0, 7 if options.quick else 25, pairs, server.access, "saving")
            _show("32 MB", small)
            figures = {name: value for name, value in small.items() if name != "slowdown_beside"}
            if not options.quick:
                large = in_child(measure, 1024.0, 1, 0, server.access, "saving")
                _show("1 GB", large)
                figures |= {
                    f"{name}_1gb": large[name]
                    for name in ("stall_over_memcpy", "stall_ms", "durable_s", "peak_rss_mb")
                }
                figures["slowdown_1gb"] = large["slowdown_beside"]
                figures["peak_over_before_mb_1gb"] = large["peak_over_before_mb"]
        finally:
            server.stop()
    print_result("saving", quick=options.quick, figures=figures, peers={})


def _show(what: str, figures: Mapping[str, float]) -> None:
    told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
    print(f"{what}: {told}", flush=True)


if __name__ == "__main__":
    main()
