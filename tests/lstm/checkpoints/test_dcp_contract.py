"""What PyTorch's tests ask of a storage, asked of its own one and of ours.

After the cases for one process of PyTorch's test/distributed/checkpoint (test_file_system_checkpoint_cpu,
test_fsspec, test_checkpoint, test_planner, test_save_load_api), and what its planners offer. Those for
several processes: test_fsdp.py (test_dtensor_resharding, test_dtensor_checkpoint, test_fsdp_optim_state),
test_dcp_on_ranks.py, test_whole_trainings.py (test_e2e_save_and_load, test_fine_tuning).
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter, StorageReader, StorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner

from lstm.checkpoints.dcp_reader import CarouselReader
from lstm.checkpoints.dcp_writer import CarouselWriter
from storage.checkpoints.repository import Repository
from storage.objects import Bucket

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
]

Storage = tuple[Callable[[], StorageWriter], Callable[[], StorageReader]]


@pytest.fixture(params=["PyTorch's", "ours"])
def storage(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> Storage:
    """Makes a writer that never overwrites, and a reader of what it wrote."""
    if request.param == "ours":
        repository = Repository.create(bucket, "dcp/")
        return lambda: CarouselWriter(repository, "run", step=1), lambda: CarouselReader(repository, "run")
    return lambda: FileSystemWriter(tmp_path, overwrite=False), lambda: FileSystemReader(tmp_path)


class Model(torch.nn.Module):
    """As of test_file_system_checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_1 = torch.nn.Linear(5, 5)
        self.linear_2 = torch.nn.Linear(5, 1)
        self.emb = torch.nn.EmbeddingBag(5, 10)


class Stateful:
    """An object that DCP asks for its state, and gives it back."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        return {"blob": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["blob"]


def save(storage: Storage, state: dict[str, Any], planner: DefaultSavePlanner | None = None) -> None:
    dcp.save(state, storage_writer=storage[0](), planner=planner, no_dist=True)


def load(storage: Storage, state: dict[str, Any], planner: DefaultLoadPlanner | None = None) -> None:
    dcp.load(state, storage_reader=storage[1](), planner=planner, no_dist=True)


@pytest.mark.parametrize(
    "planner",
    [
        {},
        {"flatten_state_dict": False},
        {"dedup_save_to_lowest_rank": True},
        {"enable_plan_caching": True},
    ],
    ids=str,
)
def test_a_model_is_read_as_it_was_written(storage: Storage, planner: dict[str, bool]) -> None:
    written, read = Model().state_dict(), Model().state_dict()
    save(storage, written, DefaultSavePlanner(**planner))
    load(storage, read, DefaultLoadPlanner(flatten_state_dict=planner.get("flatten_state_dict", True)))
    assert read.keys() == written.keys()
    assert all(torch.equal(read[name], written[name]) for name in written)


@pytest.mark.parametrize("value", ["written", b"written", [1, 2, 3, 4], (1, None)], ids=repr)
def test_an_object_with_a_state_of_its_own_takes_it_back(storage: Storage, value: object) -> None:
    save(storage, {"blob": Stateful(value), **Model().state_dict()})
    read = Stateful(type(value)())
    load(storage, {"blob": read})
    assert read.value == value


def test_bytes_of_a_module_come_back(storage: Storage) -> None:
    save(storage, {"extra": io.BytesIO(b"a state of its own")})
    read = {"extra": io.BytesIO()}
    load(storage, read)
    assert read["extra"].getvalue() == b"a state of its own"


def test_nested_state_comes_back_in_its_structure(storage: Storage) -> None:
    written = {"a": [{"b": torch.ones(2)}, {"c": (1, "two", None)}], "d": {"e": {"f": 0.5}}}
    read = {"a": [{"b": torch.zeros(2)}, {"c": ()}], "d": {"e": {"f": 0.0}}}
    save(storage, written)
    load(storage, read)
    assert read["a"][0]["b"].tolist() == [1, 1]
    assert read["a"][1:] == written["a"][1:]
    assert read["d"] == written["d"]


def test_tied_tensors_both_come_back(storage: Storage) -> None:
    tied = torch.randn(7, 3)
    save(storage, {"first": tied, "second": tied})
    read = {"first": torch.zeros(7, 3), "second": torch.zeros(7, 3)}
    load(storage, read)
    assert torch.equal(read["first"], tied)
    assert torch.equal(read["second"], tied)


def test_a_checkpoint_is_not_overwritten(storage: Storage) -> None:
    save(storage, {"random": torch.ones(10)})
    with pytest.raises(CheckpointException, match="already"):
        save(storage, {"random": torch.zeros(10)})
    read = {"random": torch.zeros(10)}
    load(storage, read)
    assert read["random"].tolist() == [1] * 10


def test_a_key_that_is_not_there_is_an_error_unless_a_partial_load_is_allowed(storage: Storage) -> None:
    save(storage, {"there": torch.ones(2)})
    with pytest.raises(CheckpointException, match="absent"):
        load(storage, {"there": torch.zeros(2), "absent": torch.zeros(1)})
    read = {"there": torch.zeros(2), "absent": torch.zeros(1)}
    load(storage, read, DefaultLoadPlanner(allow_partial_load=True))
    assert read["there"].tolist() == [1, 1]
    assert read["absent"].tolist() == [0]


def test_another_size_is_an_error(storage: Storage) -> None:
    save(storage, {"a": torch.ones(4)})
    with pytest.raises(CheckpointException, match=r"[Ss]ize mismatch"):
        load(storage, {"a": torch.zeros(5)})


@pytest.mark.parametrize("kept", [torch.bfloat16, torch.float64])
def test_another_dtype_is_cast_as_pytorch_casts(storage: Storage, kept: torch.dtype) -> None:
    written = torch.randn(4, 3)
    save(storage, {"w": written})
    read = {"w": torch.zeros(4, 3, dtype=kept)}
    load(storage, read)
    assert torch.equal(read["w"], written.to(kept))


def test_metadata_names_what_is_there(storage: Storage) -> None:
    save(storage, {"a": torch.ones(4, 2), "n": 3})
    metadata = storage[1]().read_metadata()
    assert metadata.state_dict_metadata.keys() == {"a", "n"}
    assert metadata.state_dict_metadata["a"].size == torch.Size([4, 2])


class Failing:
    """Lets one step of a storage fail, as those of test_checkpoint do."""

    def __init__(self, storage: StorageWriter | StorageReader, step: str) -> None:
        self._storage, self._step = storage, step

    def __getattr__(self, name: str) -> Any:
        if name == self._step:
            raise ValueError(f"{name} has failed")
        return getattr(self._storage, name)


@pytest.mark.parametrize("step", ["prepare_local_plan", "prepare_global_plan", "write_data"])
def test_a_save_that_fails_leaves_nothing_and_can_be_given_again(storage: Storage, step: str) -> None:
    failing: Any = Failing(storage[0](), step)
    with pytest.raises(CheckpointException, match="has failed"):
        dcp.save({"a": torch.ones(3)}, storage_writer=failing, no_dist=True)
    save(storage, {"a": torch.full((3,), 2.0)})
    read = {"a": torch.zeros(3)}
    load(storage, read)
    assert read["a"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("step", ["read_metadata", "prepare_local_plan", "prepare_global_plan", "read_data"])
def test_a_load_that_fails_says_so(storage: Storage, step: str) -> None:
    save(storage, {"a": torch.ones(3)})
    failing: Any = Failing(storage[1](), step)
    with pytest.raises((CheckpointException, ValueError), match="has failed"):
        dcp.load({"a": torch.zeros(3)}, storage_reader=failing, no_dist=True)


def test_a_load_before_any_save_is_an_error(storage: Storage) -> None:
    with pytest.raises(CheckpointException):
        load(storage, {"a": torch.zeros(3)})


def test_a_planner_that_transforms_what_it_saves_is_obeyed(storage: Storage) -> None:
    """As the planner of test_planner's extension: everything is saved as bfloat16."""

    class Halving(DefaultSavePlanner):
        def set_up_planner(
            self, state_dict: dict[str, Any], storage_meta: Any = None, is_coordinator: bool = False
        ) -> None:
            halved = {name: tensor.bfloat16() for name, tensor in state_dict.items()}
            super().set_up_planner(halved, storage_meta, is_coordinator)

    written = torch.randn(5, 4)
    save(storage, {"w": written}, Halving())
    assert storage[1]().read_metadata().state_dict_metadata["w"].properties.dtype == torch.bfloat16
    read = {"w": torch.zeros(5, 4)}
    load(storage, read)
    assert torch.equal(read["w"], written.bfloat16().float())


def test_a_view_is_saved_without_the_rest_of_its_memory(storage: Storage) -> None:
    base = torch.randn(100, 100)
    save(storage, {"row": base[3], "column": base[:, 3], "block": base[2:4, 5:9]})
    read = {"row": torch.zeros(100), "column": torch.zeros(100), "block": torch.zeros(2, 4)}
    load(storage, read)
    assert torch.equal(read["row"], base[3])
    assert torch.equal(read["column"], base[:, 3])
    assert torch.equal(read["block"], base[2:4, 5:9])


def test_some_tensors_are_loaded_into_views(storage: Storage) -> None:
    save(storage, {"a": torch.ones(4, 3), "b": torch.ones(2)})
    base = torch.zeros(10, 3)
    load(storage, {"a": base[2:6]})
    assert base.sum(1).tolist() == [0, 0, 3, 3, 3, 3, 0, 0, 0, 0]


def test_planned_once_and_saved_twice_what_changed_is_saved(storage: Storage) -> None:
    """With plans cached; a tensor changes its bytes, then a shape."""
    if isinstance(storage[0](), FileSystemWriter):
        pytest.skip("one folder is one checkpoint")
    first: Any = storage[0]()
    planner = DefaultSavePlanner(enable_plan_caching=True)
    for step, tensor in enumerate((torch.ones(3), torch.full((3,), 2.0), torch.full((4,), 3.0)), start=1):
        first.step = step
        dcp.save({"a": tensor}, storage_writer=first, planner=planner, no_dist=True)
        read = {"a": torch.zeros_like(tensor)}
        load(storage, read)
        assert torch.equal(read["a"], tensor)
