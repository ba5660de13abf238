"""FSDP2 and DTensor states on any mesh: saved by their owners, loaded by any other, equal to the bit.

The first and the last case are played by test_dcp_on_ranks.py.
"""

from concurrent.futures import Future
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from lstm.checkpoints.dcp_reader import CarouselReader
from lstm.checkpoints.dcp_writer import CarouselWriter
from storage.checkpoints import DeltaPolicy
from storage.checkpoints.repository import Repository
from storage.objects import Bucket, Unreachable

from .world import WORLD, Case, play

WIDE = 513  # 513 · 520 · 4 bytes: a chunk of 504 rows and one of 9, so rows and chunks end in other places


class Net(torch.nn.Module):
    """Shards of several chunks, of uneven rows, and of none: `narrow` has one row."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = torch.nn.Linear(520, WIDE)
        self.narrow = torch.nn.Linear(WIDE, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.narrow(torch.relu(self.wide(values)))


def built(seed: int, mesh: DeviceMesh | None) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A net and its AdamW after two steps, in shards over `mesh`."""
    torch.manual_seed(seed)
    model = Net()
    if mesh is not None:
        fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(2):
        batch = torch.randn(4, 520, generator=torch.Generator().manual_seed(seed + step))
        model(batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def state_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": moments}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by path, of DTensors the whole; all ranks of their meshes must ask."""
    if isinstance(value, dict):
        return {name: it for key in value for name, it in flat(value[key], f"{path}/{key}").items()}
    if isinstance(value, list | tuple):
        return {name: it for at, each in enumerate(value) for name, it in flat(each, f"{path}/{at}").items()}
    return {path: value.full_tensor() if isinstance(value, DTensor) else value}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(it, second[key]) if isinstance(it, torch.Tensor) else it == second[key]
        for key, it in first.items()
    )


def fsdp_is_saved_on_two_ranks_and_loaded_on_any(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    saved: list[dict[str, Any] | None] = [None]
    if rank < 2:
        state = state_of(*built(1, meshes[2]))
        group = meshes[2].get_group()
        dcp.save(
            state,
            storage_writer=CarouselWriter(repository, "fsdp", step=2, process_group=group),
            process_group=group,
        )
        saved = [flat(state)]
    dist.broadcast_object_list(saved, src=0)
    assert saved[0] is not None
    for ranks in (1, 3, 4):
        if rank >= ranks:
            continue
        other = state_of(*built(7, meshes[ranks] if ranks > 1 else None))
        group = meshes[ranks].get_group()
        assert not same(flat(other), saved[0])
        dcp.load(other, storage_reader=CarouselReader(repository, "fsdp"), process_group=group)
        assert same(flat(other), saved[0]), f"on {ranks} ranks"
        writer = CarouselWriter(repository, "fsdp", step=10 + ranks, process_group=group)
        dcp.save(other, storage_writer=writer, process_group=group)
        if rank == 0:
            assert writer.commit is not None
            assert writer.commit.new_bytes == writer.commit.manifest_bytes, "another world stores nothing"


def tensors_on_any_mesh_make_one_commit(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    square = DeviceMesh("cpu", torch.arange(WORLD).reshape(2, 2))
    generator = torch.Generator().manual_seed(3)
    whole = {
        "long": torch.randn(1031, 301, generator=generator),
        "deep": torch.randn(3, 5, 7, generator=generator).bfloat16(),
        "one row": torch.randn(1, 9, generator=generator),
        "vector": torch.arange(10.0),
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 4),
    }
    ways: list[tuple[str, DeviceMesh | None, list[Any]]] = [("alone", None, [])]
    for ranks in (1, 2, 3, 4):
        ways.append((f"rows on {ranks}", meshes[ranks], [Shard(0)]))
        ways.append((f"columns on {ranks}", meshes[ranks], [Shard(1)]))
    ways += [
        ("copies", meshes[4], [Replicate()]),
        ("rows, columns", square, [Shard(0), Shard(1)]),
        ("columns, rows", square, [Shard(1), Shard(0)]),
        ("rows twice", square, [Shard(0), Shard(0)]),
        ("rows, copies", square, [Shard(0), Replicate()]),
        ("copies, columns", square, [Replicate(), Shard(1)]),
    ]

    def divided(mesh: DeviceMesh | None, placements: list[Any], *, zeros: bool = False) -> dict[str, Any]:
        found = {}
        for name, it in whole.items():
            fits = [place if getattr(place, "dim", 0) < it.ndim else Replicate() for place in placements]
            values = torch.zeros_like(it) if zeros else it
            found[name] = values.clone() if mesh is None else distribute_tensor(values, mesh, fits)
        return found

    for number, (way, mesh, placements) in enumerate(ways):
        if (mesh is None and rank > 0) or (mesh is not None and mesh.get_coordinate() is None):
            continue
        group = None if mesh in (None, square) else mesh.get_group()
        writer = CarouselWriter(repository, f"way-{number}", step=1, process_group=group)
        state = divided(mesh, placements)
        dcp.save(state, storage_writer=writer, process_group=group, no_dist=mesh is None)
        if rank == 0:
            first, this = repository.commits("way-0")[0], repository.commits(f"way-{number}")[0]
            assert this.id == first.id, way
            assert number == 0 or this.new_bytes == this.manifest_bytes, f"{way}: borrowed from the first run"
    dist.barrier()
    on_all = [it for it in ways if it[1] in (meshes[WORLD], square)]
    for number, (way, mesh, placements) in enumerate(on_all):
        zeros = divided(mesh, placements, zeros=True)
        reader = CarouselReader(repository, f"way-{number}")  # saved in another way
        dcp.load(zeros, storage_reader=reader)
        assert same(flat(zeros), flat(whole)), way


def saved_beside_training(repository: Repository, rank: int, meshes: dict[int, DeviceMesh]) -> None:
    """Collectives of training go on in another group meanwhile; a second save rests on the first."""
    own = dist.new_group()
    mesh = meshes[WORLD]
    writer = CarouselWriter(repository, "beside", step=0, process_group=own)
    tensor = torch.randn(600, 512, generator=torch.Generator().manual_seed(1))
    for step in range(3):
        writer.step = step
        now = distribute_tensor(tensor * (1 + step * 1e-4), mesh, [Shard(step % 2)])
        saving: Future[Any] = dcp.async_save({"w": now}, storage_writer=writer, process_group=own)
        ones, count = torch.ones(10), 0
        while True:
            dist.all_reduce(ones.fill_(1))
            assert ones.tolist() == [WORLD] * 10
            count += 1
            done = torch.tensor(int(saving.done()))
            dist.all_reduce(done, op=dist.ReduceOp.MIN)  # all leave after the same round
            if done.item() and count >= 20:
                break
        saving.result()
        loaded = {"w": distribute_tensor(torch.zeros(600, 512), mesh, [Shard(0)])}
        dcp.load(loaded, storage_reader=CarouselReader(repository, "beside"))
        assert torch.equal(loaded["w"].full_tensor(), tensor * (1 + step * 1e-4))


def mistakes_fail_on_all_ranks(repository: Repository, rank: int, meshes: dict[int, DeviceMesh]) -> None:
    group = meshes[2].get_group() if rank < 2 else None
    mesh = meshes[WORLD]
    good = {"w": distribute_tensor(torch.ones(700, 512), mesh, [Shard(0)])}

    def fails(words: str, state: dict[str, Any], writer: CarouselWriter) -> None:
        with pytest.raises(CheckpointException, match=words):
            dcp.save(state, storage_writer=writer)

    fails("give CarouselWriter the process", good, CarouselWriter(repository, "m", process_group=group))
    fails("'odd' is a builtins.object", {**good, "odd": object()}, CarouselWriter(repository, "m"))
    deaf = CarouselWriter(Repository.open(repository.shelf.files.store, "dcp/"), "m")  # type: ignore[arg-type]
    if rank == 2:
        put = deaf.repository.shelf.files.put

        def unreachable(key: str, data: bytes) -> str:
            raise Unreachable("no answer")

        deaf.repository.shelf.files.put = unreachable  # type: ignore[assignment,method-assign]
    fails("rank 2 could not bring its part of the state: no answer", good, deaf)
    if rank == 2:
        deaf.repository.shelf.files.put = put  # type: ignore[method-assign]
    dcp.save(good, storage_writer=deaf)
    assert rank > 0 or [it.step for it in repository.commits("m")] == [0]
    fails("already", good, CarouselWriter(repository, "m", step=0, deltas=DeltaPolicy(read_limit=0)))
    with pytest.raises(ValueError, match="use_collectives=False"):
        dcp.save(good, storage_writer=CarouselWriter(repository, "m"), use_collectives=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([tensors_on_any_mesh_make_one_commit], id="meshes"),
        pytest.param([saved_beside_training], id="beside"),
    ],
)
def test_on_four_processes(bucket: Bucket, cases: list[Case]) -> None:
    play(bucket, cases)
