"""Commits in files of this host: whole or not at all, only what is asked for, and nothing believed."""

import errno
import json
import os

import pytest

from storage.checkpoints import (
    CommitMissing,
    Damaged,
    DeltaPolicy,
    FileTrouble,
    InvalidName,
    OuterKey,
    Repository,
    RunExists,
    RunWriter,
    Tensor,
)
from storage.checkpoints.transfer.extracting import COMMIT, TENSORS, extract
from storage.checkpoints.transfer.importing import import_state
from storage.checkpoints.transfer.safetensors_file import NotSafetensors, open_safetensors
from storage.checkpoints.transfer.whole_file import whole_file

from .fake_store import FakeStore
from .states import state

SINGLE = Tensor("float32", (), b"\0\0\xc0\x7f")  # a NaN with its payload
EMPTY = Tensor("int32", (0, 3), b"")
KEY = OuterKey.of("ab" * 32)


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def repository(request, bucket) -> Repository:
    made = Repository.create(bucket, "here", key=request.param)
    writer = RunWriter.create(made, "run", "a1")
    writer.save(whole(0), {"n": 0}, step=0)
    writer.save(whole(1), {"n": 1}, step=1, metrics={"loss": float("nan")}, tags=["good"])
    return made


def whole(step: int) -> dict[str, Tensor]:
    large = bytes(range(256)) * 12_000  # three chunks
    return {**state(**{"model/w": step, "model/b": 7}), "large": Tensor("uint8", (3000, 1024), large)} | {
        "single": SINGLE,
        "empty": EMPTY,
    }


def test_a_restore_holds_every_bit_and_all_that_is_known(repository, tmp_path):
    repository.pin("run", "good", "me")
    done = extract(repository.shelf, "run", "good", tmp_path / "out")
    with open_safetensors(tmp_path / "out" / TENSORS) as (tensors, meta):
        assert (tensors, meta) == (whole(1), {"n": 1})
    told = json.loads((tmp_path / "out" / COMMIT).read_text())
    assert told["run"] == "run"
    assert told["id"] == done.commit.id
    assert (told["step"], told["tags"], told["pins"], told["meta"]) == (1, ["good"], ["me"], {"n": 1})
    assert told["metrics"] == {"loss": "NaN"}
    assert {it.name for it in tmp_path.iterdir()} == {"out"}
    assert {it.name for it in (tmp_path / "out").iterdir()} == {TENSORS, COMMIT}


def test_only_the_tensors_that_a_pattern_names_are_read(tmp_path):
    store = FakeStore()
    repository = Repository.create(store, "here")
    writer = RunWriter.create(repository, "run", "a1")
    writer.deltas = DeltaPolicy(read_limit=0)
    writer.save({f"layer/{it}": state(w=it)["w"] for it in range(40)} | state(other=1), {}, step=0)
    asked: list[int] = []
    whole_range = store.get_range
    store.get_range = lambda key, start, length: (
        asked.append(length if "/packs/" in key else 0) or whole_range(key, start, length)
    )
    done = extract(
        repository.shelf, "run", "newest", tmp_path / "one", globs=["oth*", "nei*r", "layer/3"][:1]
    )
    assert (done.tensors, done.of) == (1, 41)
    assert 0 < sum(asked) < 3000
    done = extract(repository.shelf, "run", "newest", tmp_path / "many", globs=["layer/?", "other"])
    assert done.tensors == 11
    with pytest.raises(CommitMissing, match="matches 'neither'"):
        extract(repository.shelf, "run", "newest", tmp_path / "none", globs=["other", "neither"])
    assert not (tmp_path / "none").exists()


def test_a_restore_replaces_only_a_restore_and_only_when_it_is_told_to(repository, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    extract(repository.shelf, "run", "newest", out)  # an empty folder is in nobody's way
    with pytest.raises(FileTrouble, match="--force"):
        extract(repository.shelf, "run", "newest", out)
    first = repository.commits("run")[0]
    extract(repository.shelf, "run", first.id, out, replace=True)
    assert json.loads((out / COMMIT).read_text())["id"] == first.id
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(FileTrouble, match=r"mine\.txt"):
        extract(repository.shelf, "run", "newest", out, replace=True)
    with pytest.raises(FileTrouble, match="no folder"):
        extract(repository.shelf, "run", "newest", out / "mine.txt", replace=True)
    assert {it.name for it in tmp_path.iterdir()} == {"out"}


def test_nothing_is_left_of_a_restore_that_meets_damage_or_no_room(repository, tmp_path, monkeypatch):
    for name, _ in list(repository.shelf.files.list("packs/")):
        data = bytearray(repository.shelf.files.get(name, 2**26).data)
        data[len(data) // 2] ^= 1
        repository.shelf.files.put(name, bytes(data))
    with pytest.raises(CommitMissing, match="no complete commit"):
        extract(repository.shelf, "run", "newest", tmp_path / "out")
    with pytest.raises(Damaged):
        extract(repository.shelf, "run", repository.commits("run")[-1].id, tmp_path / "out")

    def full(descriptor: int, begin: int, size: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FileTrouble, match="No space left"):
        extract(repository.shelf, "run", "newest", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_has_come_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "out"
    meanwhile = whole_file(path)
    meanwhile.__enter__().write(b"ours")
    path.write_bytes(b"theirs")
    with pytest.raises(FileTrouble, match="there already"):
        meanwhile.__exit__(None, None, None)
    assert path.read_bytes() == b"theirs"
    with pytest.raises(FileTrouble, match="No such file"), whole_file(tmp_path / "nowhere" / "out"):
        pass
    assert [it.name for it in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_hard_links_takes_files_and_restores(code, repository, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    extract(repository.shelf, "run", "good", tmp_path / "out")
    with whole_file(tmp_path / "new") as file:
        file.write(b"ours")
    assert (tmp_path / "new").read_bytes() == b"ours"
    with pytest.raises(FileTrouble, match="there already"), whole_file(tmp_path / "late"):
        (tmp_path / "late").write_bytes(b"theirs")
    assert (tmp_path / "late").read_bytes() == b"theirs"
    assert {it.name for it in tmp_path.iterdir()} == {"out", "new", "late"}


def test_a_restored_commit_with_blocks_of_rows_is_imported_as_the_very_commit(bucket, tmp_path):
    made = Repository.create(bucket, "blocks")
    data = bytes(range(256)) * 64 * 128
    lstm = {"w": Tensor("float32", (4 * 1024, 128), data, block_rows=1024)}
    saved = RunWriter.create(made, "run", "a1").save(lstm, {}, step=7)
    extract(made.shelf, "run", "newest", tmp_path / "out")
    with open_safetensors(tmp_path / "out" / TENSORS) as (tensors, meta):
        assert tensors["w"].block_rows == 1024
        back = import_state(made, "back", tensors, meta, step=7)
    assert back.commit.id == saved.id
    uncut = {"w": Tensor("float32", (4 * 1024, 128), data)}
    assert import_state(made, "uncut", uncut, {}, step=7).commit.id != saved.id
    (change,) = made.compare(("run", "newest"), ("uncut", "newest")).changes
    assert (change.tensor, change.change) == ("w", "same")


BAD = "caf\udce9"
"""What Python makes of bytes on a command line that are not UTF-8."""


def test_text_that_is_not_utf_8_is_refused_by_name_before_anything_is_made(repository):
    for attempt in (
        lambda: repository.tag("run", "newest", BAD),
        lambda: repository.pin("run", "newest", BAD),
        lambda: repository.note("run", "newest", BAD),
        lambda: import_state(repository, "new", whole(0), {}, tags=[BAD]),
        lambda: import_state(repository, "new", whole(0), {}, note=BAD),
        lambda: import_state(repository, "new", {BAD: SINGLE}, {}),
    ):
        with pytest.raises(InvalidName, match=r"'caf\\udce9' is not text in UTF-8"):
            attempt()
    assert repository.runs() == ["run"]


def test_an_import_is_one_commit_however_often_it_is_asked_for(repository):
    first = import_state(repository, "new", whole(0), {}, tags=["a"])
    again = import_state(repository, "new", whole(0), {}, tags=["b"], note="words")
    assert (first.added, again.added) == (True, False)
    (commit,) = repository.commits("new")
    assert (commit.id, commit.tags, commit.note) == (first.commit.id, ("a", "b"), "words")
    assert repository.restore("new").tensors == whole(0)


def test_imports_add_steps_to_a_run_of_imports_and_to_no_other(repository):
    import_state(repository, "new", whole(0), {})
    assert import_state(repository, "new", whole(1), {}, step=1).commit.new_bytes < 50_000
    with pytest.raises(RunExists, match="another state of step 1"):
        import_state(repository, "new", whole(0), {"other": 1}, step=1)
    with pytest.raises(RunExists, match="not imported"):
        import_state(repository, "run", whole(9), {}, step=9)
    with pytest.raises(InvalidName):
        import_state(repository, "other", whole(0), {}, tags=["newest"])
    assert repository.runs() == ["new", "run"]


def test_an_import_that_was_cut_short_before_its_commit_is_finished(repository):
    RunWriter.create(repository, "new", "import-of-somebody-killed")
    assert import_state(repository, "new", whole(0), {}).added


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin: object, end: object, shape: object, dtype: object = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        safetensors([]),
        safetensors(b"{" * 100_000),
        safetensors(b'{"a": ' * 100_000),
        safetensors(b"{" + b" " * 50)[:30],
        safetensors({"a": entry(0, 4000, [4000])}, b"short"),
        safetensors({"a": entry(0, 4, [4]), "b": entry(2, 6, [4])}, b"123456"),
        safetensors({"a": entry(0, 4, [4]), "b": entry(5, 6, [1])}, b"123456"),
        safetensors({"a": entry(0, 4, [4])}, b"12345"),
        safetensors({"a": entry(-4, 0, [4])}, b"1234"),
        safetensors({"a": entry(4, 0, [4])}, b"1234"),
        safetensors({"a": entry(0, 4, [2.0, 2])}, b"1234"),
        safetensors({"a": entry(0, 4, [True, 4])}, b"1234"),
        safetensors({"a": entry(0, 4, [-2, -2])}, b"1234"),
        safetensors({"a": entry(0, 0, [2**62, 2**62, 0])}),
        safetensors({"a": entry(0, 0, [0] * 40)}),
        safetensors({"a": entry(0, 4, [4], "F4")}, b"1234"),
        safetensors({"a": entry(0, 4, [4], ["U8"])}, b"1234"),
        safetensors({"a": entry(0, 4, 4)}, b"1234"),
        safetensors({"a": entry(0, 4, None)}, b"1234"),
        safetensors({"a": [1]}),
        safetensors(b'{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": 1}'),
        safetensors({"__metadata__": {"carousel_meta": "[]"}}),
        safetensors({"__metadata__": {"carousel_meta": '{"x": NaN}'}}),
        safetensors({"__metadata__": {"carousel_meta": "{"}}),
        safetensors({"__metadata__": 7}),
        *(
            safetensors({"a": entry(0, 4, [4]), "__metadata__": {"carousel_block_rows": rows}}, b"1234")
            for rows in ("[]", "{", '{"a": 0}', '{"a": -1}', '{"a": 1.0}', '{"a": true}', '{"a": null}')
        ),
        safetensors({"a": entry(0, 0, [2**40, 0]), "__metadata__": {"carousel_block_rows": '{"a": 1}'}}),
    ],
)
def test_a_hostile_safetensors_file_is_refused_in_one_message(content, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(NotSafetensors, match=r"bad\.safetensors") as refused, open_safetensors(path):
        pass
    assert len(str(refused.value)) < 500


def test_a_name_that_no_tensor_may_have_is_refused_before_anything_is_written(repository, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors({"../../a": entry(0, 4, [4])}, b"1234"))
    with open_safetensors(path) as (tensors, meta), pytest.raises(InvalidName):
        import_state(repository, "new", tensors, meta)
    assert repository.runs() == ["run"]
