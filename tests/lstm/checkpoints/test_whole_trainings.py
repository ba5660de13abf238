"""Trainings on four ranks that are saved and loaded into fresh ones go on as if they had not been cut off.

What PyTorch's end-to-end tests ask of a storage (test_e2e_save_and_load, test_fine_tuning): FSDP2 on one axis
and beside copies, DDP; saved at once, in a thread, in a process of its own; objects beside the tensors.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import _async_process_executor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from lstm.checkpoints.dcp_reader import CarouselReader
from lstm.checkpoints.dcp_writer import CarouselWriter
from storage.checkpoints.repository import Repository
from storage.objects import Bucket

from .test_fsdp import flat, same
from .world import WORLD, Case, play

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(24, 130)
        self.second = torch.nn.Linear(130, 8)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(values)))


class Tuned(torch.nn.Module):
    """A pretrained net that is frozen, and what is trained on top of it."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained = Net().requires_grad_(False)
        self.head = torch.nn.Linear(8, 40)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.head(self.pretrained(values))


@dataclass
class Progress:
    """Beside the tensors: numbers, and bytes that another tool has made."""

    losses: list[float] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        kept = io.BytesIO()
        torch.save(self.losses, kept)
        return {"step": torch.tensor(len(self.losses)), "losses": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state["losses"].seek(0)
        self.losses = torch.load(state["losses"])
        assert len(self.losses) == state["step"].item()


Parallel = Callable[[torch.nn.Module], torch.nn.Module]
Training = tuple[torch.nn.Module, torch.optim.Optimizer]


def begun(seed: int, parallel: Parallel, make: Callable[[], torch.nn.Module] = Net) -> Training:
    torch.manual_seed(seed)
    model = parallel(make())
    return model, torch.optim.AdamW([it for it in model.parameters() if it.requires_grad], lr=0.02)


def train(training: Training, steps: int, progress: Progress) -> None:
    """All ranks see the same batches, so that the mean of their gradients is that of one process."""
    model, optimizer = training
    for _ in range(steps):
        number = len(progress.losses)
        loss = model(torch.randn(6, 24, generator=torch.Generator().manual_seed(number))).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        progress.losses.append(loss.item())


def ways_to_be_parallel(meshes: dict[int, DeviceMesh]) -> dict[str, Parallel]:
    square = DeviceMesh("cpu", torch.arange(WORLD).reshape(2, 2), mesh_dim_names=("copies", "shards"))
    return {
        "fsdp": lambda net: fully_shard(net, mesh=meshes[WORLD]),
        "hsdp": lambda net: fully_shard(net, mesh=square),
        "ddp": DistributedDataParallel,
    }


def save(repository: Repository, way: str, run: str, states: list[dict[str, Any]]) -> None:
    """By one writer, in the order of steps."""
    group = dist.new_group() if way == "thread" else None
    writer = CarouselWriter(repository, run, process_group=group)
    for step, state in enumerate(states):
        writer.step = step
        if way == "save":
            dcp.save(state, storage_writer=writer)
            continue
        kind = AsyncCheckpointerType[way.upper()]
        saving = dcp.async_save(
            state, storage_writer=writer, process_group=group, async_checkpointer_type=kind
        )
        getattr(saving, "upload_completion", saving).result()


def goes_on(repository: Repository, name: str, way: str, parallel: Parallel) -> None:
    run, told = f"{name}-{way}", Progress()
    first = begun(1, parallel)
    train(first, 2, told)
    model, optimizer = get_state_dict(*first)
    save(repository, way, run, [{"model": model, "optimizer": optimizer, "progress": told}])
    train(first, 2, told)
    fresh, read = begun(9, parallel), Progress()
    model, optimizer = get_state_dict(*fresh)
    dcp.load(
        {"model": model, "optimizer": optimizer, "progress": read},
        storage_reader=CarouselReader(repository, run),
    )
    set_state_dict(*fresh, model_state_dict=model, optim_state_dict=optimizer)
    assert read.losses == told.losses[:2]
    train(fresh, 2, read)
    assert read.losses == told.losses
    assert same(flat(get_state_dict(*fresh)), flat(get_state_dict(*first))), run
    alone = begun(1, lambda net: net)
    train(alone, 4, Progress())
    for key, weight in flat(get_model_state_dict(fresh[0])).items():
        torch.testing.assert_close(weight, flat(get_model_state_dict(alone[0]))[key])


def goes_on_however_it_is_parallel(repository: Repository, rank: int, meshes: dict[int, DeviceMesh]) -> None:
    for name, parallel in ways_to_be_parallel(meshes).items():
        for way in ("save", "thread"):
            goes_on(repository, name, way, parallel)


def goes_on_from_a_process_that_saves(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    try:
        goes_on(repository, "fsdp", "process", ways_to_be_parallel(meshes)["fsdp"])
        mesh = meshes[WORLD]
        weights = torch.randn(600, 512, generator=torch.Generator().manual_seed(1))
        states = [{"w": fully_sharded(weights * (1 + step * 1e-4), mesh)} for step in range(3)]
        save(repository, "process", "beside", states)
    finally:
        _async_process_executor._CHECKPOINT_PROCESS = None  # and so it is ended
    if rank == 0:
        first, *others = repository.commits("beside")
        assert {it.attempt for it in others} == {first.attempt}
        assert all(it.new_bytes < 0.7 * first.new_bytes for it in others), "differences"


def fully_sharded(tensor: torch.Tensor, mesh: DeviceMesh) -> torch.Tensor:
    return dist.tensor.distribute_tensor(tensor, mesh, [dist.tensor.Shard(0)])


def fine_tuning_goes_on(repository: Repository, rank: int, meshes: dict[int, DeviceMesh]) -> None:
    """The pretrained weights from one run, into a part of the model; what is trained from another run."""
    parallel = ways_to_be_parallel(meshes)["fsdp"]
    pretrained = begun(1, parallel)
    train(pretrained, 2, Progress())
    model, optimizer = get_state_dict(*pretrained)
    save(repository, "save", "pretrained", [{"model": model, "optimizer": optimizer}])
    trained_only = StateDictOptions(ignore_frozen_params=True)

    def tuning(seed: int) -> tuple[Training, Progress]:
        training = begun(seed, parallel, Tuned)
        base = training[0].pretrained
        weights = get_model_state_dict(base)
        dcp.load({"model": weights}, storage_reader=CarouselReader(repository, "pretrained"))
        set_model_state_dict(base, weights)
        return training, Progress()

    def state_of(training: Training) -> dict[str, Any]:
        weights, moments = get_state_dict(*training, options=trained_only)
        return {"model": weights, "optimizer": moments}

    first, told = tuning(2)
    train(first, 2, told)
    state = state_of(first)
    assert {name.partition(".")[0] for name in state["model"]} == {"head"}
    save(repository, "save", "tuned", [{**state, "progress": told}])
    train(first, 2, told)
    second, read = tuning(3)
    state = state_of(second)
    dcp.load({**state, "progress": read}, storage_reader=CarouselReader(repository, "tuned"))
    set_state_dict(
        *second,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=StateDictOptions(strict=False),
    )
    train(second, 2, read)
    assert read.losses == told.losses
    assert same(flat(get_model_state_dict(second[0])), flat(get_model_state_dict(first[0])))


def keys_may_come_in_another_order_on_each_rank(
    repository: Repository, rank: int, meshes: dict[int, DeviceMesh]
) -> None:
    """Objects that speak with the other ranks as they are loaded would wait for each other."""

    class Speaks:
        def __init__(self, rounds: int) -> None:
            self.rounds = rounds

        def state_dict(self) -> dict[str, Any]:
            return {"rounds": self.rounds}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.rounds = state["rounds"]
            for _ in range(self.rounds):
                dist.all_reduce(torch.ones(self.rounds))

    names = ["a", "b", "c"] if rank % 2 else ["c", "b", "a"]
    save(repository, "save", "order", [{name: Speaks(ord(name) - 96) for name in names}])
    read = {name: Speaks(0) for name in names}
    dcp.load(read, storage_reader=CarouselReader(repository, "order"))
    assert {name: it.rounds for name, it in read.items()} == {"a": 1, "b": 2, "c": 3}


CASES = [
    pytest.param([goes_on_however_it_is_parallel], id="parallel"),
    pytest.param([goes_on_from_a_process_that_saves], id="process"),
    pytest.param([fine_tuning_goes_on, keys_may_come_in_another_order_on_each_rank], id="tuning"),
]


@pytest.mark.parametrize("cases", CASES)
def test_on_four_processes(bucket: Bucket, cases: list[Case]) -> None:
    play(bucket, cases)
