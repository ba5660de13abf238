"""A state with an Adam in it is stored by torch.distributed.checkpoint as by our own saver."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.state_dict import get_state_dict

from lstm.checkpoints import dcp_hints
from lstm.checkpoints.adam_hints import adam_hints
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


@pytest.mark.parametrize("state_of", [by_number, by_name])
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
