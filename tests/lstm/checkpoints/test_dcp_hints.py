"""A state with an Adam in it is stored by torch.distributed.checkpoint as by our own saver."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import _async_process_executor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

from lstm.checkpoints import dcp_hints
from lstm.checkpoints.adam_hints import adam_hints
from lstm.checkpoints.dcp_kept import AT_MOST, kept_here
from lstm.checkpoints.dcp_reader import CarouselReader
from lstm.checkpoints.dcp_writer import CarouselWriter
from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.values import to_json
from storage.checkpoints import AdamHint
from storage.checkpoints.repository import Repository
from storage.objects import Bucket

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
]


class Net(torch.nn.Module):
    """Buffers between the parameters, parameters of equal shapes, one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(32, 32)
        self.norm = torch.nn.BatchNorm1d(32)
        self.second = torch.nn.Linear(32, 32)
        self.second.bias.requires_grad_(False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.norm(self.first(values))))


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randn(16, 32)).square().mean().backward()
    optimizer.step()


def by_number(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}


def by_name(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, optimizer)
    return {"nested": {"optimizer": moments}, "model": weights}


def by_joined_names(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    weights, moments = get_state_dict(model, optimizer, options=options)
    return {"optimizer": moments, "model": weights}


def told(state: dict[str, Any]) -> list[AdamHint]:
    planner = DefaultSavePlanner()
    planner.set_up_planner(state, is_coordinator=True)
    tensors = {
        name: from_torch(it) for name, it in planner.state_dict.items() if isinstance(it, torch.Tensor)
    }
    values = {name: to_json(name, it) for name, it in planner.state_dict.items() if name not in tensors}
    return dcp_hints.hints_of(planner.mappings, values, tensors)


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW])
def test_what_the_state_tells_is_what_the_optimizer_does(make: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(1)
    model = Net()
    optimizer = make(model.parameters(), lr=0.02, betas=(0.8, 0.95), weight_decay=0.1)  # type: ignore[call-arg]
    assert told(by_number(model, optimizer)) == []
    for _ in range(3):
        step(model, optimizer)
    names = {parameter: f"model.{name}" for name, parameter in model.named_parameters()}
    expected = adam_hints(optimizer, names, lambda number, key: f"optimizer.state.{number}.{key}")
    assert len(expected) == 5
    assert told(by_number(model, optimizer)) == expected
    fqns = list(dict(model.named_parameters()))
    expected = adam_hints(
        optimizer, names, lambda number, key: f"nested.optimizer.state.{fqns[number]}.{key}"
    )
    assert told(by_name(model, optimizer)) == expected
    expected = adam_hints(optimizer, names, lambda number, key: f"optimizer.state.{fqns[number]}.{key}")
    assert told(by_joined_names(model, optimizer)) == expected


@pytest.mark.parametrize(
    "odd",
    [
        {"betas": 0.9},
        {"betas": (0.9,)},
        {"lr": "fast"},
        {"params": 3},
        {"lr": torch.ones(2)},
    ],
    ids=str,
)
def test_what_only_looks_like_an_adam_gives_no_hints(bucket: Bucket, odd: dict[str, Any]) -> None:
    group = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0, "params": [0]}
    moments = {"exp_avg": torch.ones(4), "exp_avg_sq": torch.ones(4), "step": torch.tensor(1.0)}
    state = {"model": {"w": torch.ones(4)}, "optimizer": {"state": {0: moments}, "param_groups": [group]}}
    assert len(told(state)) == 1
    group |= odd
    assert told(state) == []
    dcp.save(state, storage_writer=CarouselWriter(Repository.create(bucket, "dcp/"), "run"), no_dist=True)


@pytest.mark.parametrize("state_of", [by_number, by_name, by_joined_names])
def test_a_step_of_adam_is_predicted(
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    state_of: Callable[[torch.nn.Module, torch.optim.Optimizer], dict[str, Any]],
) -> None:
    repository = Repository.create(bucket, "dcp/")
    stored = {}
    for run in ("told", "untold"):
        torch.manual_seed(2)
        model = Net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        writer = CarouselWriter(repository, run)
        for _ in range(4):
            step(model, optimizer)
            dcp.save(state_of(model, optimizer), storage_writer=writer, no_dist=True)
        newest = repository.commits(run)[-1]
        stored[run] = (newest.new_bytes - newest.manifest_bytes) / newest.raw_bytes
        loaded = {"model": Net().state_dict()}
        dcp.load(loaded, storage_reader=CarouselReader(repository, run), no_dist=True)
        assert torch.equal(loaded["model"]["first.weight"], model.first.weight)
        monkeypatch.setattr("lstm.checkpoints.dcp_writer.hints_of", lambda *_: [])
    assert stored["told"] < 0.5 * stored["untold"], stored


def stored_shares(
    repository: Repository, save: Callable[[dict[str, Any], CarouselWriter], None]
) -> list[float]:
    """Save four steps of a training; how much of its bytes each commit has added."""
    torch.manual_seed(2)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    writer = CarouselWriter(repository, "run")
    for _ in range(4):
        step(model, optimizer)
        save(by_number(model, optimizer), writer)
    commits = repository.commits("run")
    assert len({commit.attempt for commit in commits}) == 1  # nobody has taken the run over
    return [(commit.new_bytes - commit.manifest_bytes) / commit.raw_bytes for commit in commits]


def test_copies_of_a_writer_save_as_the_writer_itself_would(bucket: Bucket) -> None:
    """As `AsyncCheckpointerType.PROCESS` sends one, pickled, to its process for each save."""

    def save(state: dict[str, Any], writer: CarouselWriter) -> None:
        dcp.save(state, storage_writer=pickle.loads(pickle.dumps(writer)), no_dist=True)

    shares = stored_shares(Repository.create(bucket, "dcp/"), save)
    assert max(shares[1:]) < 0.5 * shares[0], shares


@pytest.mark.slow
def test_a_process_that_saves_predicts_a_step_of_adam_too(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("GLOO_SOCKET_IFNAME", "lo")):
        monkeypatch.setenv(name, value)

    def save(state: dict[str, Any], writer: CarouselWriter) -> None:
        saving = dcp.async_save(
            state, storage_writer=writer, async_checkpointer_type=AsyncCheckpointerType.PROCESS
        )
        getattr(saving, "upload_completion", saving).result()

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        shares = stored_shares(Repository.create(bucket, "dcp/"), save)
    finally:
        monkeypatch.setattr(_async_process_executor, "_CHECKPOINT_PROCESS", None)  # and so it is ended
        dist.destroy_process_group()
    assert max(shares[1:]) < 0.5 * shares[0], shares


def test_a_writer_that_is_open_here_stays_here(bucket: Bucket) -> None:
    writer = CarouselWriter(Repository.create(bucket, "dcp/"), "run")
    dcp.save({"w": torch.ones(2)}, storage_writer=writer, no_dist=True)
    with pytest.raises(ValueError, match="make another"):
        pickle.dumps(writer)


def test_a_process_keeps_no_more_writers_than_a_training_uses() -> None:
    kept = [kept_here(f"{number}") for number in range(AT_MOST)]
    assert kept_here("0") is kept[0]
    kept_here("one more")  # in the place of 1, which was used least lately
    assert kept_here("0") is kept[0]
    assert kept_here("1") is not kept[1]
