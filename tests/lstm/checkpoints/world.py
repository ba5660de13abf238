"""Four processes with a repository; they play smaller worlds in groups, forked from one that has torch."""

import multiprocessing
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import DeviceMesh

from storage.checkpoints.repository import Repository
from storage.objects import Access, Bucket
from tests.conftest import free_ports

WORLD = 4

Case = Callable[[Repository, int, dict[int, DeviceMesh]], None]
"""Called on each rank, with meshes of the first so many ranks."""


def play(bucket: Bucket, cases: list[Case]) -> None:
    """Raises what a case does on any rank."""
    Repository.create(bucket, "dcp/")
    (port,) = free_ports(1)
    modules = sorted({case.__module__ for case in cases})
    multiprocessing.set_forkserver_preload([*modules, "torch._dynamo"])  # which a DTensor's first use imports
    mp.start_processes(
        _rank_of_four,
        (port, bucket.name, bucket.access, cases),
        nprocs=WORLD,
        start_method="forkserver",
    )


def _rank_of_four(rank: int, port: int, name: str, access: Access, cases: list[Case]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    repository = Repository.open(Bucket(name, access), "dcp/")
    meshes = {ranks: DeviceMesh("cpu", list(range(ranks))) for ranks in (1, 2, 3, 4)}
    for case in cases:
        case(repository, rank, meshes)
        dist.barrier()
    dist.destroy_process_group()
