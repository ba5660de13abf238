"""What PyTorch's tests ask of a storage on several ranks: failures, other coordinators, ShardedTensors.

After its test_checkpoint and test_file_system_checkpoint_cpu. DTensors and FSDP2: test_fsdp.py.
"""

import time
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed._shard import sharded_tensor
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed._shard.sharding_spec import EnumerableShardingSpec, ShardMetadata
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from lstm.checkpoints.dcp_reader import CarouselReader
from lstm.checkpoints.dcp_writer import CarouselWriter
from storage.checkpoints.repository import Repository
from storage.objects import Bucket

from .test_fsdp import fsdp_is_saved_on_two_ranks_and_loaded_on_any, mistakes_fail_on_all_ranks
from .world import WORLD, play

SOON_S = 300
"""Far below the half an hour after which a process group gives up."""


class FailsAtLast(DefaultSavePlanner):
    """On one rank, when all plans are made: that rank never begins to write."""

    def __init__(self, *ranks: int) -> None:
        super().__init__()
        self._ranks = ranks

    def finish_plan(self, new_plan: SavePlan) -> SavePlan:
        if dist.get_rank() in self._ranks:
            raise ValueError("no plan")
        return super().finish_plan(new_plan)


def a_planner_that_fails_late_fails_all_ranks_soon(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    state = {"w": distribute_tensor(torch.ones(8, 4), meshes[WORLD], [Shard(0)])}
    writer = CarouselWriter(repository, "late", patience=0.5)
    for ranks, words in (
        ((2, 3), r"ranks \[2, 3\] have not begun"),
        ((0,), "rank 0, which leads, has not begun"),
    ):
        began = time.monotonic()
        with pytest.raises(CheckpointException, match=words) as caught:
            dcp.save(state, storage_writer=writer, planner=FailsAtLast(*ranks))
        assert time.monotonic() - began < SOON_S
        for at in range(WORLD):
            assert ("no plan" in str(caught.value.failures[at][0])) == (at in ranks)
    dcp.save(state, storage_writer=writer)
    assert rank > 0 or [it.step for it in repository.commits("late")] == [0], "of the same writer and group"


def any_rank_coordinates(repository: Repository, rank: int, meshes: dict[int, DeviceMesh]) -> None:
    whole = torch.randn(700, 512, generator=torch.Generator().manual_seed(5))  # two chunks on four ranks
    for step, coordinator in enumerate((0, 3, 3, 1)):
        state = {"w": distribute_tensor(whole + step, meshes[WORLD], [Shard(0)])}
        writer = CarouselWriter(repository, "led")
        dcp.state_dict_saver._save_state_dict(state, writer, coordinator_rank=coordinator)
        assert (writer.commit is not None) == (rank == coordinator)
        loaded = {"w": distribute_tensor(torch.zeros(700, 512), meshes[WORLD], [Shard(1)])}
        dcp.load(loaded, storage_reader=CarouselReader(repository, "led"))
        assert torch.equal(loaded["w"].full_tensor(), whole + step)


def sharded_tensors_in_any_pieces_come_back_in_others(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    """The older kind of sharded state: several pieces on a rank, in any order of ranks."""
    whole = torch.arange(200.0).reshape(10, 20)

    def placed(*pieces: tuple[int, int, int], columns: bool = False, zeros: bool = False) -> ShardedTensor:
        spec = EnumerableShardingSpec(
            [
                ShardMetadata(
                    *(([0, at], [10, size]) if columns else ([at, 0], [size, 20])), f"rank:{on}/cpu"
                )
                for at, size, on in pieces
            ]
        )
        tensor = sharded_tensor.zeros(spec, 10, 20)
        for shard in tensor.local_shards():
            (top, left), (rows, wide) = shard.metadata.shard_offsets, shard.metadata.shard_sizes
            shard.tensor.copy_(
                0 * whole[:rows, :wide] if zeros else whole[top : top + rows, left : left + wide]
            )
        return tensor

    ways: list[dict[str, Any]] = [
        {"pieces": [(0, 2, 0), (2, 1, 1), (3, 3, 0), (6, 3, 3), (9, 1, 0)]},
        {"pieces": [(0, 8, 3), (8, 2, 0)]},
        {"pieces": [(0, 5, 1), (5, 5, 1), (10, 10, 2)], "columns": True},
    ]
    for number, way in enumerate(ways):
        state = {"w": placed(*way["pieces"], columns=way.get("columns", False)), "whole": torch.ones(3)}
        dcp.save(state, storage_writer=CarouselWriter(repository, f"pieces-{number}"))
        for other in ways:
            found = placed(*other["pieces"], columns=other.get("columns", False), zeros=True)
            dcp.load({"w": found}, storage_reader=CarouselReader(repository, f"pieces-{number}"))
            expected = placed(*other["pieces"], columns=other.get("columns", False))
            for got, wanted in zip(found.local_shards(), expected.local_shards(), strict=True):
                assert torch.equal(got.tensor, wanted.tensor)
    assert len({repository.commits(f"pieces-{number}")[0].id for number in range(len(ways))}) == 1


def another_world_and_sharding_store_nothing_twice_and_load_each_other(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    generator = torch.Generator().manual_seed(1)
    whole = {name: torch.randn(301, 200, generator=generator) for name in ("rows", "columns", "copies")}
    if rank == 0:
        writer = CarouselWriter(repository, "run", step=1, tag="one")
        dcp.save(whole, storage_writer=writer, no_dist=True)
    dist.barrier()
    ways = {"rows": Shard(0), "columns": Shard(1), "copies": Replicate()}
    others = {"rows": Shard(1), "columns": Replicate(), "copies": Shard(0)}
    if rank < 2:
        group = meshes[2].get_group()
        state = {key: distribute_tensor(it, meshes[2], [ways[key]]) for key, it in whole.items()}
        writer = CarouselWriter(repository, "run", step=2, process_group=group)
        dcp.save(state, storage_writer=writer, process_group=group)
        zeros = {key: distribute_tensor(torch.zeros(301, 200), meshes[2], [others[key]]) for key in others}
        reader = CarouselReader(repository, "run", "one")
        dcp.load(zeros, storage_reader=reader, process_group=group)
        assert reader.read_bytes > 0
        for key, it in whole.items():
            assert torch.equal(zeros[key].full_tensor(), it)
    if rank == 0:
        loaded = {name: torch.zeros_like(tensor) for name, tensor in whole.items()}
        dcp.load(loaded, storage_reader=CarouselReader(repository, "run"), no_dist=True)
        assert all(torch.equal(loaded[key], it) for key, it in whole.items())
        first, second = repository.commits("run")
        assert (second.step, second.new_bytes) == (2, second.manifest_bytes)
        assert first.new_bytes > first.raw_bytes / 2


def test_on_four_processes(bucket: Bucket) -> None:
    play(
        bucket,
        [
            another_world_and_sharding_store_nothing_twice_and_load_each_other,
            a_planner_that_fails_late_fails_all_ranks_soon,
            any_rank_coordinates,
            sharded_tensors_in_any_pieces_come_back_in_others,
            fsdp_is_saved_on_two_ranks_and_loaded_on_any,  # here, as four processes take long to start
            mistakes_fail_on_all_ranks,
        ],
    )
