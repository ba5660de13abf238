"""What it brings that ranks store shares of a state.

    python -m benchmarks.saving_together [--quick] [--ranks N] [--megabytes N] [--pairs N]

Processes that meet over gloo hold the same state, float32 that moves a little from save to save, as that of
a training does. Rank 0 saves it with the others' help and without, in turns, each rank encoding on one
thread; nothing else runs. All ranks reach the embedded S3 server over loopback, then each by a relay of its
own that lets 100 MB/s pass, as hosts with a network each would. `--quick`: 64 MB.

- `together_over_alone`, `…_at_100_mb_s`: seconds of a save with all ranks ÷ with rank 0 alone, medians of
  pairs. The least that can be is 1 ÷ ranks, where there is a core for each
- `alone_s`, `together_s`, and the same `…_at_100_mb_s`
- `helper_grown_over_state`, `…_at_100_mb_s`: the most by which the memory of a helping rank grew ÷ the state.
  It holds up to three copies here, since only every second save asks it for its share: 3 and its packs
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from benchmarks.growth import growth
from benchmarks.report import print_result
from benchmarks.throttle import throttled
from lstm.training.side_channel import SideChannel
from storage.checkpoints import Helper, Helpers, Repository, RunWriter, Tensor
from storage.checkpoints.save.storing import store_alone
from storage.local import LocalServer
from storage.objects import Access, Bucket

BUCKET = "together"
RATE = 100e6
_MATRIX = 1024  # 4 MB each


def states(megabytes: int, count: int) -> list[dict[str, Tensor]]:
    """The same on every rank; all in memory before anything is timed."""
    rng = np.random.default_rng(0)
    now = rng.standard_normal((megabytes // 4, _MATRIX, _MATRIX), np.float32)
    found = []
    for _ in range(count):
        now = now + np.float32(1e-3) * rng.standard_normal(now.shape, np.float32)
        found.append({f"w{number:03}": Tensor.from_numpy(part) for number, part in enumerate(now)})
    return found


def rank(
    number: int,
    ranks: int,
    meeting: str,
    access: Access,
    run: str,
    megabytes: int,
    pairs: int,
    tell: Connection,
) -> None:
    """One rank; rank 0 tells the seconds of each save, alone and together in turns, others their growth."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{meeting}",
        rank=number,
        world_size=ranks,
        timeout=timedelta(minutes=30),
    )
    torch.set_num_threads(1)
    bucket = Bucket(BUCKET, access)
    trail = states(megabytes, 2 * pairs + 2)
    helper: Helper | None = None
    if number == 0:
        writer = RunWriter.create(Repository.create(bucket, "saves"), run, "a1")
        writer.encoders = 1
        dist.barrier()
        helpers = Helpers(SideChannel(), ranks, on_note=print)
    else:
        dist.barrier()
        helper = Helper(Repository.open(bucket, "saves"), SideChannel(), (0, {}), niceness=0)
    taken = []
    with growth() as grown:
        for step, state in enumerate(trail):
            if helper is not None:
                helper.hold(state, step=step)
            dist.barrier()
            if number == 0:
                writer.store_chunks = helpers.store if step % 2 else store_alone
                began = time.perf_counter()
                writer.save(state, {}, step=step)
                taken.append(time.perf_counter() - began)
            dist.barrier()
    if helper is not None:
        helper.close()
        tell.send(grown[0])
    else:
        helpers.dismiss()
        tell.send(taken[2:])  # the first ones meet connections that are not there yet
    dist.destroy_process_group()


def measure(accesses: list[Access], run: str, megabytes: int, pairs: int) -> tuple[float, float, float]:
    """Median seconds of a save by rank 0 alone, and by all; growth of a helper in bytes."""
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="meeting-") as folder:
        meeting, ranks = str(Path(folder) / "ranks"), len(accesses)
        processes = [
            context.Process(target=rank, args=(number, ranks, meeting, access, run, megabytes, pairs, tell))
            for number, access in enumerate(accesses)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"a rank ended with status {process.exitcode}")
        found = [told.recv() for _ in processes]
    taken = next(it for it in found if isinstance(it, list))
    grown = max(it for it in found if isinstance(it, int))
    return statistics.median(taken[0::2]), statistics.median(taken[1::2]), grown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What it brings that ranks store shares of a state.")
    parser.add_argument("--quick", action="store_true", help="64 MB of state, 2 pairs")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--megabytes", type=int, help="of state; default 256")
    parser.add_argument("--pairs", type=int, help="of saves; default 5")
    options = parser.parse_args()
    megabytes = options.megabytes or (64 if options.quick else 256)
    pairs = options.pairs or (2 if options.quick else 5)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    figures: dict[str, float] = {"state_mb": megabytes, "ranks": options.ranks}
    with ExitStack() as stack:
        server = LocalServer.start(
            Path(stack.enter_context(tempfile.TemporaryDirectory())), die_with_parent=True
        )
        stack.callback(server.stop)
        Bucket(BUCKET, server.access).create()
        url = server.access.endpoint_url
        assert url
        relays = [stack.enter_context(throttled(url, RATE)) for _ in range(options.ranks)]
        slow = [replace(server.access, endpoint_url=relay) for relay in relays]
        for accesses, end in (([server.access] * options.ranks, ""), (slow, "_at_100_mb_s")):
            alone, together, grown = measure(accesses, f"run{end}", megabytes, pairs)
            figures[f"alone_s{end}"], figures[f"together_s{end}"] = alone, together
            figures[f"together_over_alone{end}"] = together / alone
            figures[f"helper_grown_over_state{end}"] = grown / (megabytes * 2**20)
            print(f"{end or 'loopback'}: alone {alone:.2f} s, together {together:.2f} s", flush=True)
    print_result("saving_together", quick=options.quick, figures=figures, peers={})


if __name__ == "__main__":
    main()
