"""`carousel checkpoints restore|export|import` as a person types them."""

import json
import secrets

import numpy as np
import pytest
import torch

from pipelines.surroundings.servers import folder_of
from storage.checkpoints import Repository, RunWriter, Tensor
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.transfer.safetensors_file import open_safetensors
from storage.local import LocalServer
from storage.objects import Bucket

from .test_checkpoints_cli import state


@pytest.fixture
def repository(root) -> Repository:
    """A run `r` of two commits."""
    server = LocalServer.find(folder_of(LocalServer, root))
    assert server is not None
    bucket = Bucket("lake", server.access)
    bucket.create()
    made = Repository.create(bucket, f"checkpoints-{secrets.token_hex(4)}")
    writer = RunWriter.create(made, "r", "a1")
    for step in range(2):
        weights = {f"model/{name}": it for name, it in state(step).items()}
        writer.save({**weights, "optimizer/w/step": state(9)["w"]}, {"step": step}, step=step)
    return made


def test_a_commit_goes_to_a_folder_and_comes_back_as_the_same_commit_once(checkpoints, repository, tmp_path):
    done = checkpoints("restore", "r/newest", "--into", "out")
    assert "3 of 3 tensors" in done.out
    file = tmp_path / "out" / "tensors.safetensors"
    words = ("--run", "back", "--step", "1", "--tag", "good", "--note", "from a file")
    first = json.loads(checkpoints("import", file, *words, "--json").out)
    assert first["added"] is True
    assert first["id"] == repository.commits("r")[1].id
    assert "nothing was added" in checkpoints("import", file, *words).out
    (commit,) = repository.commits("back")
    assert (commit.step, commit.tags, commit.note) == (1, ("good",), "from a file")


def test_complex_numbers_that_safetensors_lacks_go_to_a_file_of_torch(checkpoints, repository, tmp_path):
    numbers = np.random.default_rng(0).standard_normal((40, 50)) * (1 - 2j)
    RunWriter.create(repository, "c", "a1").save({"a": Tensor.from_numpy(numbers), **state(0)}, {}, step=0)
    (commit,) = repository.commits("c")
    whole = "FILE.pt", "--below", ""
    refused = checkpoints("restore", "c/newest", "--into", "out")
    assert (refused.code, f'export c/{commit.id} FILE.pt --below ""' in refused.err) == (2, True)
    done = json.loads(checkpoints("export", f"c/{commit.id}", *whole, "--json").out)
    assert (done["tensors"], done["raw_bytes"]) == (3, commit.raw_bytes)
    loaded = torch.load(tmp_path / "FILE.pt", weights_only=True)
    assert np.array_equal(loaded["a"].numpy(), numbers)
    again = json.loads(checkpoints("import", tmp_path / "FILE.pt", "--run", "back", "--json").out)
    assert (again["id"], again["raw_bytes"]) == (commit.id, commit.raw_bytes)
    assert checkpoints("restore", "c/newest", "--into", "out", "--tensor", "w").code == 0


def test_a_restore_of_some_tensors_tells_how_many(checkpoints, tmp_path):
    told = json.loads(
        checkpoints("restore", "r/newest", "--into", "out", "--tensor", "model/*", "--json").out
    )
    assert (told["tensors"], told["of"], told["path"]) == (2, 3, "out")
    with open_safetensors(tmp_path / "out" / "tensors.safetensors") as (tensors, _):
        assert tensors.keys() == {"model/w", "model/frozen"}
    assert checkpoints("restore", "r/newest", "--into", "out").code == 2
    assert checkpoints("restore", "r/newest", "--into", "out", "--force").code == 0


def test_what_was_passed_over_for_the_newest_commit_is_told(checkpoints, repository):
    newest = repository.commits("r")[1]
    repository.shelf.files.delete(f"runs/r/manifests/{newest.manifest}")
    passed_over = f"passed over r/{newest.id} of step 1: manifest"
    assert passed_over in checkpoints("restore", "r/newest", "--into", "out").out
    (note,) = json.loads(checkpoints("export", "r/newest", "out.pt", "--json").out)["skipped"]
    assert note.startswith(passed_over)


def test_newest_is_the_newest_that_can_be_read_and_what_was_passed_over_is_told(
    checkpoints, repository, tmp_path
):
    older, newest = repository.commits("r")
    for pack in (
        repository.find("r", newest.id).manifest.packs.keys()
        - repository.find("r", older.id).manifest.packs.keys()
    ):
        data = bytearray(repository.shelf.files.get(pack_key(pack), 2**20).data)
        data[len(data) // 2] ^= 1
        repository.shelf.files.put(pack_key(pack), bytes(data))
    passed_over = f"passed over r/{newest.id} of step 1: "
    for words in (("restore", "r/newest", "--into", "out"), ("export", "r/newest", "out.pt", "--below", "")):
        told = checkpoints(*words)
        assert (told.code, passed_over in told.out, f"r/{older.id}, step 0" in told.out) == (0, True, True)
    compared = json.loads(checkpoints("diff", f"r/{older.id}", "r/newest", "--json").out)
    assert (compared["first"]["skipped"], compared["second"]["id"]) == ([], older.id)
    assert compared["second"]["skipped"][0].startswith(passed_over)
    assert passed_over in checkpoints("diff", "r/newest", f"r/{older.id}").out
    with open_safetensors(tmp_path / "out" / "tensors.safetensors") as (tensors, _):
        assert tensors == repository.restore("r", older.id).tensors
    for words in (("restore", f"r/{newest.id}", "--into", "no"), ("diff", f"r/{newest.id}", f"r/{older.id}")):
        assert checkpoints(*words).code == 2  # what is asked for by name is never another commit


def test_show_tells_what_it_passed_over_for_the_newest_commit(checkpoints, repository):
    newest = repository.commits("r")[1]
    repository.shelf.files.delete(f"runs/r/manifests/{newest.manifest}")
    assert f"passed over r/{newest.id} of step 1: manifest" in checkpoints("show", "r/newest").out
    assert len(json.loads(checkpoints("show", "r/newest", "--json").out)["skipped"]) == 1


def test_an_export_holds_the_model_alone_by_its_own_names(checkpoints, tmp_path):
    assert "2 of 3 tensors below model/" in checkpoints("export", "r/newest", "out.safetensors").out
    with open_safetensors(tmp_path / "out.safetensors") as (tensors, _):
        assert tensors == state(1)
    assert checkpoints("export", "r/newest", "out.safetensors").code == 2
    told = json.loads(checkpoints("export", "r/newest", "all.pt", "--below", "", "--json").out)
    assert (told["tensors"], told["below"]) == (3, "")
    assert checkpoints("import", "all.pt", "--run", "torch").code == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("restore", "r", "--into", "out"), "RUN/COMMIT"),
        (("restore", "r/ffff", "--into", "out"), "no commit"),
        (("restore", "s/newest", "--into", "out"), "there are r"),
        (("restore", "r/newest", "--into", "out", "--tensor", "encoder/*"), "matches 'encoder/*'"),
        (("restore", "r/newest", "--into", "notes.txt"), "no folder"),
        (("restore", "r/newest", "--into", "nowhere/out"), "No such file"),
        (("export", "r/newest", "out.onnx"), ".safetensors or .pt"),
        (("export", "r/newest", "nowhere/out.pt"), "No such file"),
        (("export", "r/newest", "out.pt", "--below", "encoder/"), "begins with 'encoder/'"),
        (("import", "notes.txt", "--run", "new"), "neither safetensors nor"),
        (("import", "nowhere.pt", "--run", "new"), "No such file"),
        (("import", ".", "--run", "new"), "Is a directory"),
        (("import", "bad.safetensors", "--run", "new"), "not safetensors"),
    ],
)
def test_mistakes_are_told_in_one_message_and_leave_nothing(
    checkpoints, repository, tmp_path, arguments, word
):
    (tmp_path / "notes.txt").write_text("these are no weights")
    (tmp_path / "bad.safetensors").write_bytes((40).to_bytes(8, "little") + b'{"a": ')
    before = sorted(it.name for it in tmp_path.iterdir())
    answer = checkpoints(*arguments)
    assert answer.code == 2
    assert word in answer.err
    assert "Traceback" not in answer.err
    assert sorted(it.name for it in tmp_path.iterdir()) == before
    assert repository.runs() == ["r"]


def test_a_step_beyond_what_a_commit_holds_is_a_mistake(checkpoints, tmp_path):
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pt")
    refused = checkpoints("import", tmp_path / "w.pt", "--run", "new", "--step", str(2**62 + 1))
    assert (refused.code, "--step" in refused.err) == (2, True)


def test_an_import_does_not_touch_a_run_that_is_trained(checkpoints, repository):
    checkpoints("export", "r/newest", "out.safetensors")
    refused = checkpoints("import", "out.safetensors", "--run", "r")
    assert (refused.code, "was not imported" in refused.err) == (2, True)
    assert len(repository.commits("r")) == 2
