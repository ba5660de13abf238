"""What it takes to save a state of which each rank holds a shard, through `torch.distributed.checkpoint`.

    python -m benchmarks.sharded_saving [--quick] [--ranks N] [--megabytes N]

Processes that meet over gloo hold shards of float32 matrices: of rows, then of columns. Each state is saved
twice to the embedded S3 server, with other values: by a writer that keeps nothing, and by one that keeps a
copy of what its rank has stored, for the differences of a next save. Nothing else runs. `--quick`: 128 MB.

- `grown_over_shard_rows`, `…_columns`: the most by which a rank's memory grew in the first save ÷ its shard.
  The least that can be is 0; where one rank gathers the whole state it is at least the number of ranks - 1
- `grown_mb_rows`, `…_columns`: the same in MB
- `grown_keeping_mb_rows`, `…_columns`: of the second save; the copy is in it
- `save_s_rows`, `…_columns`: seconds of the first save
- `exchanged_over_raw_rows`, `…_columns`: bytes of the state that ranks sent to each other in it ÷ all
"""

import argparse
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from benchmarks.growth import growth
from benchmarks.report import print_result
from lstm.checkpoints.dcp_group import ProcessGroup
from lstm.checkpoints.dcp_writer import CarouselWriter
from storage.checkpoints import DeltaPolicy, Repository
from storage.checkpoints.tensor import Buffer
from storage.local import LocalServer
from storage.objects import Access, Bucket

BUCKET = "sharded"
_COLUMNS = 2048
_MATRIX_MB = 16
_MB = 1e6

Figures = dict[str, float]


class Counting(ProcessGroup):
    """Counts the bytes of the state that this rank sends."""

    sent = 0

    def exchange(
        self, outgoing: Mapping[int, Sequence[Buffer]], incoming: Mapping[int, int]
    ) -> Mapping[int, memoryview]:
        """See `Group`."""
        Counting.sent += sum(len(part) for parts in outgoing.values() for part in parts)
        return super().exchange(outgoing, incoming)


def rank(
    number: int, ranks: int, meeting: str, access: Access, way: str, megabytes: int, tell: Connection
) -> None:
    """One rank; tells the shard's bytes, growth of both saves, seconds of the first, bytes sent in it."""
    warnings.filterwarnings("ignore")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=number, world_size=ranks, timeout=timedelta(minutes=30)
    )
    torch.set_num_threads(1)
    CarouselWriter.__init__.__globals__["ProcessGroup"] = Counting
    repository = Repository.open(Bucket(BUCKET, access), "saves")
    mesh = init_device_mesh("cpu", (ranks,))
    rows = _MATRIX_MB * 1_000_000 // (4 * _COLUMNS)
    shape = (rows // ranks, _COLUMNS) if way == "rows" else (rows, _COLUMNS // ranks)
    generator = torch.Generator().manual_seed(number)
    held = [torch.randn(shape, generator=generator) for _ in range(max(1, megabytes // _MATRIX_MB))]
    place = [Shard(0 if way == "rows" else 1)]
    state = {f"w{at:03}": DTensor.from_local(it, mesh, place) for at, it in enumerate(held)}
    none = DeltaPolicy(read_limit=0)
    writer = CarouselWriter(repository, way, step=0, deltas=none)
    save({"w": torch.ones(1)}, storage_writer=CarouselWriter(repository, f"{way}-first", deltas=none))
    dist.barrier()
    with growth() as first:
        began = time.perf_counter()
        save(state, storage_writer=writer)
        seconds = time.perf_counter() - began
    sent = Counting.sent
    for it in held:
        it.normal_(generator=generator)
    writer = CarouselWriter(repository, way, step=1)
    with growth() as second:
        save(state, storage_writer=writer)
    tell.send((sum(it.nbytes for it in held), first[0], second[0], seconds, sent))
    dist.destroy_process_group()


def measure(access: Access, way: str, ranks: int, megabytes: int) -> Figures:
    """Figures of one way to shard."""
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="meeting-") as folder:
        meeting = str(Path(folder) / "ranks")
        processes = [
            context.Process(target=rank, args=(number, ranks, meeting, access, way, megabytes, tell))
            for number in range(ranks)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"a rank ended with status {process.exitcode}")
        found = [told.recv() for _ in processes]
    shards, first, second, seconds, sent = zip(*found, strict=True)
    return {
        f"grown_over_shard_{way}": max(first) / max(shards),
        f"grown_mb_{way}": max(first) / _MB,
        f"grown_keeping_mb_{way}": max(second) / _MB,
        f"save_s_{way}": max(seconds),
        f"exchanged_over_raw_{way}": sum(sent) / sum(shards),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What it takes to save a sharded state.")
    parser.add_argument("--quick", action="store_true", help="128 MB of state")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--megabytes", type=int, help="of state, all ranks together; default 1024")
    options = parser.parse_args()
    megabytes = options.megabytes or (128 if options.quick else 1024)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    figures: Figures = {"state_mb": megabytes, "ranks": options.ranks}
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            bucket = Bucket(BUCKET, server.access)
            bucket.create()
            Repository.create(bucket, "saves")
            for way in ("rows", "columns"):
                figures |= measure(server.access, way, options.ranks, megabytes)
                print({name: round(it, 3) for name, it in figures.items() if name.endswith(way)}, flush=True)
        finally:
            server.stop()
    print_result("sharded_saving", quick=options.quick, figures=figures, peers={})


if __name__ == "__main__":
    main()
