"""Opening, naming, counting, saving again: what a user of a repository relies on."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.checkpoints import (
    DTYPES,
    BackgroundWriter,
    CommitFailed,
    CommitMissing,
    Damaged,
    InvalidName,
    Repository,
    RepositoryMissing,
    RunWriter,
    Tensor,
    UnsupportedRepository,
)
from storage.checkpoints.format import canonical
from storage.checkpoints.tensor import raw_bytes
from storage.checkpoints.transfer.importing import import_state
from storage.errors import UserError
from storage.objects import UnsafeServer

from .collector import PREFIX
from .fake_store import FakeServer, FakeStore
from .states import begun, repository, state


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def test_creating_twice_changes_nothing(store):
    repository(store)
    before = dict(store.server.objects)
    repository(store)
    assert store.server.objects == before


def test_missing_repository_is_told_with_its_place(store):
    with pytest.raises(RepositoryMissing, match=r"'ck/'.*repository\.json"):
        Repository.open(store, PREFIX)


@pytest.mark.parametrize("make", [Repository.open, Repository.create])
def test_repository_of_another_version_is_refused_with_both_versions(store, make):
    store.server.objects[PREFIX + "repository.json"] = canonical.dumps({"format": 7, "whatever": []})
    with pytest.raises(UnsupportedRepository, match=r"format 7.*formats 1 to 2") as caught:
        make(store, PREFIX)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format":"1"}', b'{"encryption":null}'])
def test_repository_file_that_names_no_version_is_damaged(store, content):
    store.server.objects[PREFIX + "repository.json"] = content
    with pytest.raises(Damaged, match=r"repository\.json"):
        Repository.open(store, PREFIX)


def test_a_repository_under_a_cipher_that_we_do_not_know_is_refused(store):
    encryption = {"check": "00", "cipher": "rot13"}
    content = canonical.dumps({"format": 2, "encryption": encryption})
    store.server.objects[PREFIX + "repository.json"] = content
    with pytest.raises(UnsupportedRepository, match="rot13"):
        Repository.open(store, PREFIX)


def test_unsafe_server_is_refused_for_writing_but_not_for_reading():
    server = FakeServer()
    begun(FakeStore(server))
    server.ignores_if_match = True
    opened = Repository.open(FakeStore(server), PREFIX)
    assert opened.restore("run").tensors == state(w=0, m=0)
    for write in (
        lambda: Repository.create(FakeStore(server), PREFIX),
        lambda: RunWriter.create(opened, "other", "a1"),
        lambda: RunWriter.take_over(opened, "run", "a2"),
        lambda: opened.fork("run", "newest", "other", "a1"),
    ):
        with pytest.raises(UnsafeServer):
            write()


def test_state_saved_again_is_the_same_commit_and_changes_nothing(store):
    writer = begun(store)
    first = writer.save(state(w=1), {"step": 1}, step=1, metrics={"loss": 2.0})
    before = dict(store.server.objects)
    assert writer.save(state(w=1), {"step": 1}, step=1) == first
    assert store.server.objects == before


def test_state_saved_again_takes_new_metrics_and_tags(store):
    writer = begun(store)
    first = writer.save(state(w=1), {}, step=1, metrics={"loss": 2.0}, tags=["early"])
    again = writer.save(state(w=1), {}, step=1, metrics={"mae": 1.0}, tags=["best", "early"])
    assert (again.id, again.manifest) == (first.id, first.manifest)
    found = repository(store).head("run").find(first.id)
    assert found == again
    assert (found.metrics, found.tags) == ({"loss": 2.0, "mae": 1.0}, ("early", "best"))
    writer.save(state(w=2), {}, step=2)
    assert [commit.step for commit in repository(store).head("run").commits] == [0, 1, 2]


def test_id_depends_on_step_content_and_meta_alone(store):
    writer = begun(store)
    base = writer.save(state(w=1), {"a": 1}, step=1)
    other = RunWriter.create(writer.repository, "other", "b7")
    assert other.save(state(w=1), {"a": 1}, step=1, tags=["x"], metrics={"l": 1}).id == base.id
    ids = {
        base.id,
        writer.save(state(w=1), {"a": 1}, step=2).id,
        writer.save(state(w=1), {"a": 2}, step=1).id,
        writer.save(state(w=2), {"a": 1}, step=1).id,
        writer.save(state(v=1), {"a": 1}, step=1).id,
        writer.save({"w": Tensor("int32", (8, 64), state(w=1)["w"].data)}, {"a": 1}, step=1).id,
        writer.save({"w": Tensor("float32", (512,), state(w=1)["w"].data)}, {"a": 1}, step=1).id,
    }
    assert len(ids) == 7


def test_commits_are_found_by_id_by_its_first_digits_and_by_tag(store):
    writer = begun(store)
    old = writer.save(state(w=1), {"n": 1}, step=1, tags=["best"])
    new = writer.save(state(w=2), {"n": 2}, step=2, tags=["best"])
    opened = repository(store)
    assert opened.restore("run", old.id).meta == {"n": 1}
    assert opened.restore("run", old.id[:8]).meta == {"n": 1}
    assert opened.restore("run", "best").commit.id == new.id
    with pytest.raises(CommitMissing, match=rf"'worst'; its newest: {new.id} \(step 2\)"):
        opened.restore("run", "worst")


def test_newest_is_the_highest_step_not_the_last_written(store):
    writer = begun(store)
    writer.save(state(w=9), {"n": 9}, step=9)
    writer.save(state(w=5), {"n": 5}, step=5)
    assert repository(store).restore("run").meta == {"n": 9}
    writer.save(state(w=8), {"n": 8}, step=9)
    assert repository(store).restore("run").meta == {"n": 8}


def test_unchanged_and_equal_tensors_are_stored_once(store):
    writer = begun(store)
    for step in range(1, 6):
        commit = writer.save(state(w=0, m=0) | {"copy": state(w=0)["w"]}, {"n": step}, step=step)
        assert commit.new_bytes == commit.manifest_bytes
    counted = writer.repository.statistics()
    assert (counted.runs, counted.commits, counted.packs) == (1, 6, 1)
    assert counted.raw_bytes == 2 * 2048 + 5 * 3 * 2048
    assert counted.stored_bytes == sum(map(len, store.server.objects.values()))
    assert counted.pack_bytes < 2 * 2048


def test_a_tensor_that_returns_to_an_older_value_is_not_stored_again(store):
    writer = begun(store)
    writer.save(state(w=1, m=0), {}, step=1)
    commit = writer.save(state(w=0, m=0), {}, step=2)
    assert commit.new_bytes == commit.manifest_bytes


def test_dedup_goes_on_after_a_take_over(store):
    begun(store)
    commit = RunWriter.take_over(repository(store), "run", "a2").save(state(w=0, m=0), {}, step=1)
    assert commit.new_bytes == commit.manifest_bytes


def test_runs_are_listed_without_being_confused_by_their_manifests(store):
    begun(store, "b")
    begun(store, "a.head-1")
    assert repository(store).runs() == ["a.head-1", "b"]


def test_older_commits_are_read_from_the_pages_of_a_head(store):
    writer = begun(store)
    for step in (1, 2):
        writer.save(state(w=step), {"n": step}, step=step)
    name = "00000000-" + "0" * 32
    head = json.loads(store.server.objects[f"{PREFIX}runs/run/head"])
    page = canonical.dumps({"commits": head["commits"][:2]})
    head["pages"], head["commits"] = [[name, len(page)]], head["commits"][2:]
    store.server.objects[f"{PREFIX}runs/run/pages/{name}"] = page
    store.server.objects[f"{PREFIX}runs/run/head"] = canonical.dumps(head)
    opened = repository(store)
    assert [commit.step for commit in opened.commits("run")] == [0, 1, 2]
    assert opened.restore("run", opened.commits("run")[1].id).meta == {"n": 1}
    RunWriter.take_over(opened, "run", "a2").save(state(w=3), {"n": 3}, step=3)
    assert [commit.step for commit in opened.commits("run")] == [0, 1, 2, 3]
    for commit in opened.head("run").commits:
        del store.server.objects[f"{PREFIX}runs/run/manifests/{commit.manifest}"]
    assert opened.restore("run").meta == {"n": 1}
    del store.server.objects[f"{PREFIX}runs/run/pages/{name}"]
    with pytest.raises(Damaged, match="page"):
        opened.commits("run")


def test_meta_that_json_cannot_hold_fails_the_save_and_nothing_else(store):
    writer = begun(store)
    before = dict(store.server.objects)
    with pytest.raises(ValueError, match="/best"):
        writer.save(state(w=1), {"best": float("inf")}, step=1)
    assert store.server.objects == before


@pytest.mark.parametrize(
    ("notes", "error", "message"),
    [
        ({"tags": ["x" * 1025]}, InvalidName, "at most 1024"),
        ({"tags": [7]}, InvalidName, "tag '7' must be a text"),
        ({"tags": "best"}, InvalidName, "give a list"),
        ({"step": 2**62 + 1}, ValueError, r"2\^62"),
        ({"step": -1}, ValueError, "from 0"),
        ({"metrics": {7: 1.0}}, ValueError, "key 7"),
    ],
)
def test_what_no_head_can_hold_is_refused_and_the_run_can_go_on(store, notes, error, message):
    writer = begun(store)
    with pytest.raises(error, match=message):
        writer.save(state(w=1), {}, **{"step": 1} | notes)
    writer.save(state(w=1), {}, step=2**62, tags=["x" * 1024])
    assert RunWriter.take_over(repository(store), "run", "a2").resume().commit.step == 2**62


def test_meta_that_is_nested_too_deeply_to_be_read_anywhere_is_refused_by_its_place(store):
    def nested(depth):
        return {"plain": 1, "deep": nested(depth - 1)} if depth > 1 else {}

    writer = begun(store)
    writer.save(state(w=1), nested(100), step=1)
    assert repository(store).restore("run").meta == nested(100)
    with pytest.raises(ValueError, match=r"meta.*/deep/deep/.* more than 100 containers deep"):
        writer.save(state(w=1), nested(101), step=2)
    circle = []
    circle += [circle, circle]
    with pytest.raises(ValueError, match="more than 100 containers deep"):
        writer.save(state(w=1), {"circle": circle}, step=2)
    with BackgroundWriter(writer) as saver, pytest.raises(ValueError, match="more than 100 containers deep"):
        saver.save(state(w=1), nested(101), step=2)
    with pytest.raises(ValueError, match="more than 100 containers deep"):
        import_state(repository(store), "imported", state(w=1), nested(101))
    assert repository(store).runs() == ["run"]


def test_tensor_names_that_would_lead_elsewhere_are_refused(store):
    writer = begun(store)
    for name in ("", "/a", "a//b", "../a", "a/..", "a\\b", "a\nb", "x" * 1025):
        with pytest.raises(InvalidName, match="tensor name"):
            writer.save({name: Tensor("uint8", (), b"1")}, {}, step=1)


def test_numpy_numbers_are_taken_as_steps_and_metrics(store):
    commit = begun(store).save(state(w=1), {}, step=np.int64(7), metrics={"loss": np.float32(0.5)})
    assert repository(store).head("run").commits[-1] == commit
    assert (commit.step, commit.metrics) == (7, {"loss": 0.5})


def test_a_save_that_waits_leaves_the_generators_of_the_process_alone(store):
    writer = begun(store)
    store.server.etag = lambda key: "another"
    random.seed(1)
    before = random.getstate()
    with pytest.raises(CommitFailed):
        writer.save(state(w=1), {}, step=1)
    assert random.getstate() == before


def test_a_thousand_commits_in_one_head_are_fine(store):
    writer = begun(store)
    one = writer.head.commits[0]
    many = tuple(
        replace(one, id=f"{step:032x}", step=step, metrics={"loss": 1 / step, "mae": step / 7})
        for step in range(1, 1000)
    )
    key = f"{PREFIX}runs/run/head"
    store.server.objects[key] = replace(writer.head, commits=(one, *many)).to_bytes()
    writer.save(state(w=1), {"n": 1000}, step=1000)
    assert len(repository(store).commits("run")) == 1001
    assert repository(store).restore("run").meta == {"n": 1000}
    assert len(store.server.objects[key]) < 500_000


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 40), max_size=3)))
    size = raw_bytes(dtype, shape)
    content = draw(st.sampled_from(["random", "zeros", "ramp"]))
    if content == "random":
        data = np.random.default_rng(draw(st.integers(0, 5))).bytes(size)
    else:
        data = bytes(size) if content == "zeros" else (bytes(range(256)) * (size // 256 + 1))[:size]
    block_rows = draw(st.none() | st.integers(1, 50)) if shape else None
    return Tensor(dtype, shape, data, block_rows)


@given(
    states=st.lists(
        st.dictionaries(st.text("abc/", min_size=1, max_size=3), tensors(), max_size=5), max_size=4
    )
)
@settings(max_examples=60, deadline=None)
def test_any_states_come_back_whole_and_tensor_by_tensor(states):
    writer = RunWriter.create(repository(FakeStore()), "run", "a1")
    good = [{n: t for n, t in one.items() if "" not in n.split("/")} for one in states]
    ids = [writer.save(one, {"n": i}, step=i).id for i, one in enumerate(good)]
    for i, (identity, one) in enumerate(zip(ids, good, strict=True)):
        restored = writer.repository.restore("run", identity)
        assert (restored.tensors, restored.meta) == (one, {"n": i})
        assert [t.block_rows for t in restored.tensors.values()] == [one[n].block_rows for n in sorted(one)]
        for name, tensor in one.items():
            assert writer.repository.restore("run", identity, names=[name]).tensors == {name: tensor}
