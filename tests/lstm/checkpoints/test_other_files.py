"""Checkpoints of other tools come in and go out bit for bit."""

import json
from pathlib import Path

import pytest
import torch

from lstm.checkpoints.exporting import export
from lstm.checkpoints.other_files import open_state
from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.torch_file import NotWeights, read_torch_file
from storage.checkpoints import CheckpointError, CommitMissing, FileTrouble
from storage.checkpoints.repository import Repository
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.transfer.extracting import extract
from storage.checkpoints.transfer.importing import import_state
from storage.checkpoints.transfer.safetensors_file import NotSafetensors, open_safetensors
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


MODEL = {f"model/{name}": tensor for name, tensor in STATE.items()}
"""As a run's commits name the weights of its model."""


def committed(repository: Repository, state: dict[str, torch.Tensor], meta: dict[str, object]) -> None:
    tensors = {name: from_torch(tensor) for name, tensor in state.items()}
    RunWriter.create(repository, "run", "a").save(tensors, meta, step=1)


def test_exported_weights_are_read_by_safetensors_under_the_models_own_names(
    bucket: Bucket, tmp_path: Path
) -> None:
    repository = Repository.create(bucket, "files/")
    committed(repository, {**MODEL, "optimizer/weight/exp_avg": torch.ones(40, 50)}, {"epoch": 3})
    path = tmp_path / "out.safetensors"
    result, prefix = export(repository.shelf, "run", "newest", path)
    assert (result.tensors, result.of, prefix) == (len(STATE), len(STATE) + 1, "model/")
    loaded = library.load_file(path)
    assert loaded.keys() == STATE.keys()
    assert all(same_bits(loaded[name], STATE[name]) for name in STATE)


def test_exported_weights_are_read_by_torch_without_unpickling_anything_else(
    bucket: Bucket, tmp_path: Path
) -> None:
    repository = Repository.create(bucket, "files/")
    model = torch.nn.LSTM(3, 40, num_layers=2)
    committed(repository, {f"model.{name}": it for name, it in model.state_dict().items()}, {})
    export(repository.shelf, "run", "newest", tmp_path / "out.pt")
    other = torch.nn.LSTM(3, 40, num_layers=2)
    other.load_state_dict(torch.load(tmp_path / "out.pt", weights_only=True))
    assert all(same_bits(other.state_dict()[name], it) for name, it in model.state_dict().items())


def test_averaged_weights_are_exported_before_others_unless_somebody_says_which(
    bucket: Bucket, tmp_path: Path
) -> None:
    repository = Repository.create(bucket, "files/")
    committed(repository, {"model/w": torch.zeros(9), "average/module.w": torch.ones(9)}, {})
    for below, expected in ((None, {"w": 1.0}), ("model/", {"w": 0.0})):
        path = tmp_path / f"{expected['w']}.safetensors"
        export(repository.shelf, "run", "newest", path, below=below)
        assert {name: float(it[0]) for name, it in library.load_file(path).items()} == expected
    export(repository.shelf, "run", "newest", tmp_path / "all.safetensors", below="")
    assert library.load_file(tmp_path / "all.safetensors").keys() == {"model/w", "average/module.w"}


@pytest.mark.parametrize(
    ("names", "exported"),
    [
        (["model.embed.w", "lm_head.w"], ["lm_head.w", "model.embed.w"]),  # a model of Hugging Face
        (["model.w", "optimizer.state.0.exp_avg"], ["w"]),
        (["state_dict.model.w", "optimizer_states.0.state.0.exp_avg"], ["model.w"]),  # Lightning, imported
        (["state_dict/model.w", "carousel_rng/ranks/0/torch"], ["model.w"]),  # by our callback
    ],
)
def test_weights_are_exported_by_the_names_that_their_model_knows(
    names: list[str], exported: list[str], bucket: Bucket, tmp_path: Path
) -> None:
    repository = Repository.create(bucket, "files/")
    committed(repository, {name: torch.ones(9) for name in names}, {})
    export(repository.shelf, "run", "newest", tmp_path / "out.safetensors")
    assert sorted(library.load_file(tmp_path / "out.safetensors")) == exported


def test_an_export_replaces_nothing_unless_it_is_told_to_and_leaves_nothing_half_done(
    bucket: Bucket, tmp_path: Path
) -> None:
    repository = Repository.create(bucket, "files/")
    committed(repository, MODEL, {})
    for name in ("out.safetensors", "out.pt"):
        path = tmp_path / name
        path.write_bytes(b"mine")
        with pytest.raises(FileTrouble, match="there already"):
            export(repository.shelf, "run", "newest", path)
        assert path.read_bytes() == b"mine"
        export(repository.shelf, "run", "newest", path, replace=True)
        assert path.stat().st_size > 8000
    with pytest.raises(FileTrouble, match="no format"):
        export(repository.shelf, "run", "newest", tmp_path / "out.bin")
    with pytest.raises(CommitMissing, match="begins with 'decoder/'"):
        export(repository.shelf, "run", "newest", tmp_path / "other.pt", below="decoder/")
    assert sorted(it.name for it in tmp_path.iterdir()) == ["out.pt", "out.safetensors"]


def test_a_restored_folder_holds_the_whole_state_and_is_imported_as_the_same_commit(
    bucket: Bucket, tmp_path: Path
) -> None:
    repository = Repository.create(bucket, "files/")
    committed(repository, STATE, {"epoch": 3})
    done = extract(repository.shelf, "run", "newest", tmp_path / "state")
    assert (done.tensors, done.of) == (len(STATE), len(STATE))
    told = json.loads((tmp_path / "state" / "commit.json").read_text())
    assert (told["id"], told["step"], told["meta"]) == (done.commit.id, 1, {"epoch": 3})
    loaded = library.load_file(tmp_path / "state" / "tensors.safetensors")
    assert all(same_bits(loaded[name], STATE[name]) for name in STATE)
    with open_state(tmp_path / "state" / "tensors.safetensors") as (tensors, meta):
        again = import_state(repository, "again", tensors, meta, step=1)
    assert (again.commit.id, again.added) == (done.commit.id, True)


def test_a_file_of_the_safetensors_library_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "in.safetensors"
    library.save_file(STATE, path, {"format": "pt"})
    with open_safetensors(path) as (imported, meta):
        assert imported == {name: from_torch(tensor) for name, tensor in STATE.items()}
        assert meta == {"safetensors": {"format": "pt"}}


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
    with pytest.raises(NotWeights, match="weights only"), open_state(path):
        pass


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-1.6"])
def test_a_state_of_torch_is_imported_with_tied_turned_and_odd_tensors(
    zipped: bool, bucket: Bucket, tmp_path: Path
) -> None:
    weight = torch.randn(300, 40)
    state = {
        "weight": weight,
        "tied": weight,
        "turned": weight.t(),
        "part": weight[10:20, ::2],
        "half": weight.bfloat16(),
        "flags": weight > 0,
        "scalar": torch.tensor(-0.0),
        "empty": torch.empty(0, 3),
    }
    if zipped:  # the older form has no such dtype
        state["eight"] = weight.to(torch.float8_e4m3fn)
    path = tmp_path / "state.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    repository = Repository.create(bucket, "files/")
    with open_state(path) as (tensors, meta):
        result = import_state(repository, "imported", tensors, meta)
    restored = repository.restore("imported").tensors
    assert restored == {name: from_torch(tensor) for name, tensor in state.items()}
    manifest = repository.shelf.read_manifest("imported", result.commit)
    assert manifest.tensors["tied"].chunks == manifest.tensors["weight"].chunks


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
@pytest.mark.parametrize("bent", [False, True], ids=["cut", "bent"])
def test_a_broken_file_of_torch_save_is_refused_in_one_message(
    bent: bool, share: float, tmp_path: Path
) -> None:
    path = tmp_path / "state.pt"
    torch.save({"w": torch.ones(30, 30), "b": torch.ones(3)}, path)
    data = bytearray(path.read_bytes())
    at = int(len(data) * share)
    path.write_bytes(data[:at] + (bytes(len(data) - at) if bent else b""))
    with pytest.raises(CheckpointError), open_state(path):
        pass


@pytest.mark.parametrize("value", [torch.ones(3), [torch.ones(3)], {"a": torch.eye(3).to_sparse()}])
def test_what_is_no_state_dict_of_plain_tensors_is_refused(value: object, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "state.pt")
    with pytest.raises(NotWeights), open_state(tmp_path / "state.pt"):
        pass


def test_a_file_of_another_kind_and_a_folder_are_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are no weights")
    for path in (tmp_path / "notes.txt", tmp_path, tmp_path / "nowhere.pt"):
        with pytest.raises(FileTrouble, match=path.name), open_state(path):
            pass


def test_a_refusal_is_told_without_escapes_and_with_what_is_missing(tmp_path):
    torch.save({"a": SystemExit()}, tmp_path / "code.pt")
    with pytest.raises(NotWeights) as refused, open_state(tmp_path / "code.pt"):
        pass
    assert "\x1b" not in str(refused.value)
    header = b'{"a": {"shape": [0], "data_offsets": [0, 0]}}'
    (tmp_path / "bent.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(NotSafetensors, match="has no dtype"), open_state(tmp_path / "bent.safetensors"):
        pass
