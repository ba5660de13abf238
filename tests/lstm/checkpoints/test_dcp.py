"""torch.distributed.checkpoint saves to and loads from a repository, whatever the ranks."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner

from lstm.checkpoints import dcp_reader
from lstm.checkpoints.dcp_reader import CarouselReader
from lstm.checkpoints.dcp_writer import CarouselWriter
from lstm.checkpoints.tensors import from_torch
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore.rows import Rows
from storage.checkpoints.tensor import Tensor
from storage.objects import Bucket

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
]


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = torch.nn.LSTM(8, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.8, 0.95))
    model(torch.ones(5, 2, 8))[0].sum().backward()
    optimizer.step()
    return model, optimizer


def state_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 4, "name": "run"}


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


def zeroed(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return {key: zeroed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(zeroed(item) for item in value)
    return type(value)()


@pytest.mark.parametrize("way", ["save", "async_save"])
def test_a_model_with_its_optimizer_comes_back(bucket: Bucket, way: str) -> None:
    repository = Repository.create(bucket, "dcp/")
    state = state_of(*trained())
    writer = CarouselWriter(repository, "run", step=7)
    if way == "save":
        dcp.save(state, storage_writer=writer, no_dist=True)
    else:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            dcp.async_save(state, storage_writer=writer).result()
        finally:
            dist.destroy_process_group()
    loaded = zeroed(state)
    dcp.load(loaded, storage_reader=CarouselReader(repository, "run"), no_dist=True)
    assert same(loaded, state)


def test_a_checkpoint_is_found_by_its_id_and_never_overwritten(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "dcp/")
    for at in range(2):
        writer = CarouselWriter(repository, "run")
        dcp.save(
            {"a": torch.full((3,), at)}, checkpoint_id=f"number {at}", storage_writer=writer, no_dist=True
        )
    loaded = {"a": torch.full((3,), 9)}
    reader = CarouselReader(repository, "run")
    dcp.load(loaded, checkpoint_id="number 0", storage_reader=reader, no_dist=True)
    assert loaded["a"].tolist() == [0, 0, 0]
    with pytest.raises(CheckpointException, match="already"):
        dcp.save(
            loaded, checkpoint_id="number 0", storage_writer=CarouselWriter(repository, "run"), no_dist=True
        )
    with pytest.raises(CheckpointException, match="already"):
        dcp.save(loaded, storage_writer=CarouselWriter(repository, "run", step=1), no_dist=True)


def test_what_is_no_plain_data_is_refused_by_name(bucket: Bucket) -> None:
    writer = CarouselWriter(Repository.create(bucket, "dcp/"), "run")
    with pytest.raises(CheckpointException, match="where"):
        dcp.save({"where": Path("x")}, storage_writer=writer, no_dist=True)


def test_some_keys_are_loaded_and_renamed(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "dcp/")
    state = {"old": torch.ones(3), "other": torch.ones(2)}
    dcp.save(state, storage_writer=CarouselWriter(repository, "run"), no_dist=True)
    loaded = {"new": torch.zeros(3), "absent": torch.zeros(1)}
    reader = CarouselReader(repository, "run", rename={"old": "new"})
    dcp.load(loaded, storage_reader=reader, planner=DefaultLoadPlanner(allow_partial_load=True), no_dist=True)
    assert loaded["new"].tolist() == [1, 1, 1]
    assert loaded["absent"].tolist() == [0]


def test_a_rename_takes_the_place_of_a_stored_name(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "dcp/")
    state = {"a": torch.arange(40.0).reshape(10, 4), "b": -torch.ones(5, 4)}
    dcp.save(state, storage_writer=CarouselWriter(repository, "run", step=1), no_dist=True)

    def loaded(shape: tuple[int, int], **rename: str) -> torch.Tensor:
        state = {"b": torch.zeros(shape)}
        dcp.load(state, storage_reader=CarouselReader(repository, "run", rename=rename), no_dist=True)
        return state["b"]

    assert torch.equal(loaded((10, 4), a="b"), state["a"])
    assert torch.equal(loaded((10, 4), a="b", b="a"), state["a"])
    with pytest.raises((CheckpointException, ValueError), match=r"[Ss]ize"):
        loaded((5, 4), a="b")


def test_a_rename_that_loads_something_else_is_refused(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "dcp/")
    state = {"a": torch.ones(3), "b": torch.zeros(3)}
    dcp.save(state, storage_writer=CarouselWriter(repository, "run", step=1), no_dist=True)
    with pytest.raises(ValueError, match="'a' and 'b' would both be 'w'"):
        CarouselReader(repository, "run", rename={"a": "w", "b": "w"})
    reader = CarouselReader(repository, "run", rename={"A": "w"})
    with pytest.raises((CheckpointException, ValueError), match=r"no 'A'; it has a, b"):
        dcp.load(
            {"w": torch.zeros(3)},
            storage_reader=reader,
            planner=DefaultLoadPlanner(allow_partial_load=True),
            no_dist=True,
        )


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.arange(24.0).reshape(4, 6).t()[1:, ::2],
        torch.tensor([True, False]),
        torch.randn(5).bfloat16(),
        torch.randn(5).to(torch.float8_e4m3fn),
        torch.tensor([1 + 2j, 0.0]),
    ],
    ids=["scalar", "empty", "strided", "bool", "bf16", "fp8", "complex"],
)
def test_any_tensor_comes_back_bit_for_bit(bucket: Bucket, tensor: torch.Tensor) -> None:
    repository = Repository.create(bucket, "dcp/")
    dcp.save({"a": [tensor, {"b": tensor}]}, storage_writer=CarouselWriter(repository, "run"), no_dist=True)
    loaded = {"a": [torch.zeros_like(tensor), {"b": torch.zeros_like(tensor)}]}
    dcp.load(loaded, storage_reader=CarouselReader(repository, "run"), no_dist=True)
    for got in (loaded["a"][0], loaded["a"][1]["b"]):
        assert from_torch(got) == from_torch(tensor)


def test_a_shard_is_loaded_from_the_chunks_that_hold_it(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "dcp/")
    whole = torch.randn(2**11, 2**10, generator=torch.Generator().manual_seed(2))
    dcp.save({"a": whole}, storage_writer=CarouselWriter(repository, "run", step=1, tag="one"), no_dist=True)
    read_bytes = repository.restore("run").read_bytes
    for begin, end, share in [(0, 2**11, 1), (250, 300, 2 / 8), (0, 0, 0), (2**10, 2**10 + 1, 1 / 8)]:
        (rows,), read = repository.restore_rows("run", "one", [Rows("a", begin, end)])
        assert rows == from_torch(whole[begin:end])
        assert read <= 1.01 * share * read_bytes
    with pytest.raises(ValueError, match="has 2048 rows"):
        repository.restore_rows("run", "one", [Rows("a", 1, 2049)])


def test_a_load_holds_no_more_than_a_batch_beside_the_state(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository.create(bucket, "dcp/")
    state = {"n": 3, **{f"w{at}": torch.randn(64, 1000) for at in range(9)}, "s": torch.tensor(2.0)}
    dcp.save(state, storage_writer=CarouselWriter(repository, "run"), no_dist=True)
    monkeypatch.setattr(dcp_reader, "AT_ONCE", 1)
    sizes = []

    def counted(run: str, commit: str, rows: list[Rows]) -> tuple[list[Tensor], int]:
        found = Repository.restore_rows(repository, run, commit, rows)
        sizes.append(sum(it.nbytes for it in found[0]))
        return found

    monkeypatch.setattr(repository, "restore_rows", counted)
    loaded = zeroed(state)
    reader = CarouselReader(repository, "run")
    dcp.load(loaded, storage_reader=reader, no_dist=True)
    assert same(loaded, state)
    assert len(sizes) == 9  # an eighth of all is a little more than one of the nine
    assert max(sizes) <= sum(sizes) // 8
    assert reader.read_bytes > 9 * 64 * 1000 * 4 / 2


@pytest.mark.parametrize("storage", [CarouselReader, CarouselWriter])
def test_what_can_be_a_tag_is_a_valid_checkpoint_id(storage: type[CarouselReader | CarouselWriter]) -> None:
    assert storage.validate_checkpoint_id("epoch 3")
    assert storage.validate_checkpoint_id(Path("a/b"))
    assert not storage.validate_checkpoint_id("x" * 1025)


def test_the_example_of_the_page_runs(bucket: Bucket) -> None:
    page = (Path(__file__).parents[3] / "docs" / "checkpoints-in-pytorch.md").read_text()
    block, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    model, optimizer = trained()
    names = {"bucket_name": bucket.name, "access": bucket.access, "model": model, "optimizer": optimizer}
    exec(block, globals() | names)
    commits = Repository.open(bucket, "checkpoints/").commits("my-run")
    assert [commit.step for commit in commits] == [100]
