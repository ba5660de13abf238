"""Checkpoints of other tools come in and go out bit for bit."""

from pathlib import Path

import pytest
import torch

from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.torch_file import NotWeights, read_torch_file
from storage.checkpoints.repository import Repository
from storage.checkpoints.safetensors_file import NotSafetensors, export_safetensors, open_safetensors
from storage.checkpoints.writer import RunWriter
from storage.objects import Bucket

library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")

STATE = {
    "weight": torch.randn(40, 50),
    "half": torch.randn(3000).bfloat16(),
    "scalar": torch.tensor(-0.0),
    "empty": torch.empty(0, 3),
    "flags": torch.tensor([True, False]),
}


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    return from_torch(first) == from_torch(second)


def test_what_is_exported_is_read_by_safetensors_and_imported_again(bucket: Bucket, tmp_path: Path) -> None:
    repository = Repository.create(bucket, "files/")
    writer = RunWriter.create(repository, "run", "a")
    tensors = {name: from_torch(tensor) for name, tensor in STATE.items()}
    writer.save(tensors, {"epoch": 3}, step=1)
    path = tmp_path / "out.safetensors"
    export_safetensors(repository, "run", "newest", path)
    loaded = library.load_file(path)
    assert loaded.keys() == STATE.keys()
    assert all(same_bits(loaded[name], STATE[name]) for name in STATE)
    with open_safetensors(path) as (imported, meta):
        assert imported == tensors
        assert meta == {"epoch": 3}
    with pytest.raises(FileExistsError):
        export_safetensors(repository, "run", "newest", path)


def test_a_file_of_the_safetensors_library_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "in.safetensors"
    library.save_file(STATE, path, {"format": "pt"})
    with open_safetensors(path) as (imported, meta):
        assert imported == {name: from_torch(tensor) for name, tensor in STATE.items()}
        assert meta == {"safetensors": {"format": "pt"}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        (2).to_bytes(8, "little") + b"[]",
        (69).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}  ',
    ],
)
def test_a_hostile_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(NotSafetensors), open_safetensors(path):
        pass


def test_a_file_of_torch_save_is_imported_with_its_optimizer(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    path = tmp_path / "state.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 7}, path)
    tensors, meta = read_torch_file(path)
    assert tensors["model.weight"] == from_torch(model.weight)
    assert tensors["optimizer.state.0.exp_avg"] == from_torch(optimizer.state[model.weight]["exp_avg"])
    assert meta["values"]["epoch"] == 7
    assert "optimizer.param_groups" in meta["values"]


class Unknown:
    pass


def test_a_file_of_torch_save_that_holds_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "code.pt"
    torch.save({"model": Unknown()}, path)
    with pytest.raises(NotWeights, match="weights only"):
        read_torch_file(path)
