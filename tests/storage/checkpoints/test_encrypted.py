"""An encrypted repository does all that another one does, and without its key it is only collected."""

import json

import numpy as np
import pytest

from storage.checkpoints import (
    Damaged,
    Ending,
    OuterKey,
    Repository,
    RunWriter,
    Tensor,
    WrongKey,
)
from storage.checkpoints.format.names import fresh_nonce

from .adam import states
from .collector import PREFIX
from .fake_store import FakeStore

KEY, OTHER = OuterKey.of("ab" * 32), OuterKey.of("correct horse battery staple")
SECRET = "a sentence that nobody else may read"


def made(store: FakeStore, key: OuterKey | None = KEY) -> Repository:
    return Repository.create(store, PREFIX, key=key, pause=lambda seconds: None)


def trained(repository: Repository, count: int = 4) -> RunWriter:
    writer = RunWriter.create(repository, "run", "a1")
    text = np.frombuffer((SECRET * 100).encode(), np.uint8)
    for step, (tensors, hints) in enumerate(states(count)):
        state = {**tensors, "text": Tensor.from_numpy(text), "small": Tensor.from_numpy(text[:40])}
        writer.save(state, {"secret": SECRET}, step=step, hints=hints)
    return writer


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def test_states_come_back_bit_for_bit_deltas_and_a_fork_included(store):
    trained(made(store))
    opened = Repository.open(store, PREFIX, key=KEY)
    for commit, (tensors, _) in zip(opened.commits("run"), states(4), strict=True):
        restored = opened.restore("run", commit.id)
        assert {name: restored.tensors[name] for name in tensors} == tensors
        assert restored.meta == {"secret": SECRET}
    opened.fork("run", "newest", "child", "b1")
    assert opened.restore("child").tensors == opened.restore("run").tensors
    assert opened.verify(deep=True).intact
    resumed = RunWriter.take_over(opened, "run", "a2")
    assert resumed.resume().commit.step == 3


def test_nothing_of_the_state_or_its_names_can_be_read_in_the_bucket(store):
    trained(made(store))
    clear = FakeStore()
    trained(made(clear, key=None))
    stored = b"".join(store.server.objects.values())
    for word in (SECRET.encode(), b"second_moment", b'"text"', b"float32"):
        assert word not in stored
    ids = {it.id for it in Repository.open(store, PREFIX, key=KEY).commits("run")}
    assert ids.isdisjoint(it.id for it in Repository.open(clear, PREFIX).commits("run"))


def test_equal_chunks_are_stored_once_here_too(store):
    repository = made(store)
    writer = trained(repository, 1)
    before = repository.statistics().pack_bytes
    restored = repository.restore("run")
    writer.save(restored.tensors, {"again": True}, step=1)
    assert repository.statistics().pack_bytes == before


@pytest.mark.parametrize(("key", "words"), [(None, "CAROUSEL_REPOSITORY_KEY"), (OTHER, "does not open")])
def test_without_its_key_it_is_neither_read_nor_written(store, key, words):
    trained(made(store))
    with pytest.raises(WrongKey, match=words):
        Repository.open(store, PREFIX, key=key).restore("run")
    with pytest.raises(WrongKey, match=words):
        RunWriter.create(made(store, key=key), "new", "a1").save({}, {}, step=0)
    assert Repository.open(store, PREFIX, key=KEY).restore("run").commit.step == 3


def test_a_key_for_a_repository_in_the_clear_is_refused(store):
    made(store, key=None)
    with pytest.raises(WrongKey, match="not encrypted"):
        made(store)


def test_it_is_collected_without_the_key(store):
    opened = made(store)
    trained(opened)
    opened.drop("run", [it.id for it in opened.commits("run")[:3]])
    keyless = Repository.open(store, PREFIX)
    keyless.collect()
    assert keyless.collect().ending is Ending.FINISHED
    (left,) = opened.commits("run")
    assert opened.restore("run", left.id).commit.step == 3
    assert not opened.verify(deep=True).unreferenced


def test_its_key_is_changed_without_touching_what_is_stored(store):
    opened = made(store)
    trained(opened)
    before = {key: data for key, data in store.server.objects.items() if "/keys/" not in key}
    assert opened.rotate_key(KEY, OTHER) == 1
    assert {key: data for key, data in store.server.objects.items() if "/keys/" not in key} == before
    with pytest.raises(WrongKey):
        Repository.open(store, PREFIX, key=KEY)
    assert Repository.open(store, PREFIX, key=OTHER).restore("run").commit.step == 3


def test_opening_it_many_times_leaves_one_key(store):
    for _ in range(3):
        made(store)
    assert sum("/keys/" in key for key in store.server.objects) == 1


@pytest.mark.parametrize("kind", ["packs/", "manifests/"])
def test_a_flipped_bit_is_found(store, kind):
    opened = made(store)
    trained(opened, 1)
    (key,) = (it for it in store.server.objects if kind in it)
    data = bytearray(store.server.objects[key])
    data[len(data) // 2] ^= 1
    store.server.objects[key] = bytes(data)
    with pytest.raises(Damaged):
        opened.restore("run", opened.commits("run")[0].id)


def test_packs_of_a_manifest_cannot_be_exchanged(store):
    opened = made(store)
    trained(opened, 1)
    (key,) = (it for it in store.server.objects if "manifests/" in it)
    value = json.loads(store.server.objects[key])
    value["packs"][0][0] = "00000000-" + fresh_nonce()
    store.server.objects[key] = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(Damaged, match="not in its place"):
        opened.restore("run", opened.commits("run")[0].id)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CAROUSEL_REPOSITORY_KEY": "x", "CAROUSEL_REPOSITORY_KEY_FILE": "y"}, "both set"),
        ({"CAROUSEL_REPOSITORY_KEY": "short"}, "64 hex digits"),
        ({"CAROUSEL_REPOSITORY_KEY_FILE": "/nowhere/key"}, "/nowhere/key"),
    ],
)
def test_a_key_that_is_none_is_told_without_showing_it(variables, words):
    with pytest.raises(WrongKey, match=words):
        OuterKey.from_environment(variables)


def test_a_key_comes_from_a_variable_or_a_file(tmp_path):
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    assert OuterKey.from_environment({"CAROUSEL_REPOSITORY_KEY_FILE": str(tmp_path / "key")}) == KEY
    assert OuterKey.from_environment({"CAROUSEL_REPOSITORY_KEY": "ab" * 32}) == KEY
    assert OuterKey.from_environment({}) is None


def test_without_its_key_no_run_is_begun(store):
    made(store)
    before = dict(store.server.objects)
    with pytest.raises(WrongKey, match="no key was given"):
        RunWriter.create(Repository.open(store, PREFIX), "run", "a1")
    assert store.server.objects == before
