"""Which requests a save, a take-over and a restore make, and in which order."""

import pytest

from storage.checkpoints import InvalidName, Repository, RunExists, RunMissing, RunWriter, TakenOver

from .collector import PREFIX
from .fake_store import FakeServer, FakeStore
from .states import begun, repository, state


def places(store: FakeStore) -> list[str]:
    """What was asked since the last look: verb and kind of object."""
    asked = [
        f"{r.verb} {r.key.removeprefix(PREFIX).split('/')[0]}:{r.key.split('/')[-2]}" for r in store.requests
    ]
    store.requests.clear()
    return asked


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def test_head_is_created_before_the_first_manifest(store):
    begun(store)
    keys = [request.key for request in store.requests if request.is_write()]
    kinds = [key.removeprefix(PREFIX).split("/") for key in keys]
    assert [(kind[0], kind[-1] == "head") for kind in kinds] == [
        ("repository.json", False),
        ("runs", True),
        ("packs", False),
        ("runs", False),
        ("runs", True),
    ]


def test_save_in_the_steady_state_reads_nothing(store):
    writer = begun(store)
    store.requests.clear()
    writer.save(state(w=1, m=0), {"step": 1}, step=1)
    assert places(store) == ["put packs:packs", "put runs:manifests", "put_if_match runs:run"]


def test_save_of_an_unchanged_state_stores_no_tensor_bytes(store):
    writer = begun(store)
    store.requests.clear()
    commit = writer.save(state(w=0, m=0), {"step": 1}, step=1)
    assert places(store) == ["put runs:manifests", "put_if_match runs:run"]
    assert commit.new_bytes == commit.manifest_bytes


def test_first_save_after_a_take_over_reads_the_head_and_then_lists_collections(store):
    begun(store)
    writer = RunWriter.take_over(repository(store), "run", "a2")
    store.requests.clear()
    writer.save(state(w=1, m=0), {"step": 1}, step=1)
    assert places(store) == [
        "put packs:packs",
        "put runs:manifests",
        "get runs:run",
        "list collections:collections",
        "put_if_match runs:run",
    ]


def test_take_over_lists_collections_before_it_reads_anything(store):
    begun(store)
    opened = repository(store)
    store.requests.clear()
    RunWriter.take_over(opened, "run", "a2")
    assert places(store)[:2] == ["list collections:collections", "get runs:run"]


def test_older_trainer_loses_its_next_commit_and_learns_who_took_over(store):
    older = begun(store)
    RunWriter.take_over(repository(store), "run", "a2").save(state(w=5), {}, step=5)
    with pytest.raises(TakenOver, match=r"'run'.*'a2'.*'a1'"):
        older.save(state(w=1), {}, step=1)
    store.requests.clear()
    with pytest.raises(TakenOver):
        older.save(state(w=1), {}, step=2)
    assert places(store) == []
    assert [commit.attempt for commit in repository(store).head("run").commits] == ["a1", "a2"]


def test_take_over_at_any_request_of_a_save_leaves_one_trainer():
    for number in range(20):
        server = FakeServer()
        younger = FakeStore(server)
        seen = iter(range(1000))

        def interrupt(request):
            if next(seen) == number:  # noqa: B023 - called within this turn of the loop
                RunWriter.take_over(repository(younger), "run", "a2").save(state(w=7), {}, step=7)  # noqa: B023

        begun(FakeStore(server))
        older = RunWriter.take_over(repository(FakeStore(server, interrupt)), "run", "older")
        count = len(older.repository.shelf.files.store.requests)
        if number < count:
            continue
        try:
            older.save(state(w=3), {}, step=3)
            landed = True
        except TakenOver:
            landed = False
        head = repository(younger).head("run")
        attempts = [commit.attempt for commit in head.commits]
        if next(seen) <= number:  # the save ended before the interruption was due
            assert attempts == ["a1", "older"]
            return
        assert head.writer == "a2"
        assert landed == ("older" in attempts)
        assert attempts in (["a1", "a2"], ["a1", "older", "a2"])
    raise AssertionError("the save made more requests than were tried")


def test_run_of_the_same_name_is_refused_with_its_writer(store):
    begun(store)
    with pytest.raises(RunExists, match=r"'run'.*1 commits.*'a1'"):
        RunWriter.create(repository(store), "run", "a9")


def test_the_same_attempt_cannot_create_a_run_twice(store):
    begun(store)
    with pytest.raises(RunExists):
        RunWriter.create(repository(store), "run", "a1")


def test_an_attempt_cannot_take_a_run_over_twice(store):
    begun(store)
    first = RunWriter.take_over(repository(store), "run", "a2")
    with pytest.raises(InvalidName, match=r"'a2' is the writer of run 'run' already.*name of its own"):
        RunWriter.take_over(repository(store), "run", "a2")
    assert first.save(state(w=1), {}, step=1).step == 1


def test_of_two_take_overs_of_one_name_at_once_one_is_refused():
    server = FakeServer()
    begun(FakeStore(server))
    winners = []

    def interrupt(request):
        if request.verb == "put_if_match" and not winners:
            winners.append(request)
            RunWriter.take_over(repository(FakeStore(server)), "run", "a2")

    with pytest.raises(InvalidName, match="'a2' is the writer"):
        RunWriter.take_over(repository(FakeStore(server, interrupt)), "run", "a2")
    assert winners


def test_take_over_of_no_run_is_refused(store):
    with pytest.raises(RunMissing, match="'nothing'"):
        RunWriter.take_over(repository(store), "nothing", "a1")


def test_fork_stores_no_tensor_bytes_and_names_its_parent(store):
    begun(store)
    opened = repository(store)
    store.requests.clear()
    writer = opened.fork("run", "newest", "child", "b1")
    assert "put packs:packs" not in places(store)
    parent, child = opened.head("run"), opened.head("child")
    assert child.parent is not None
    assert (child.parent.run, child.parent.commit) == ("run", parent.commits[0].id)
    assert child.commits[0].new_bytes == child.commits[0].manifest_bytes
    assert opened.restore("child").tensors == state(w=0, m=0)
    writer.save(state(w=0, m=1), {}, step=1)
    assert places(store).count("put packs:packs") == 1


def test_restore_of_one_tensor_reads_head_manifest_and_one_range(store):
    writer = begun(store)
    writer.save(state(w=1, m=1), {}, step=1)
    store.requests.clear()
    restored = writer.repository.restore("run", names=["w"])
    assert restored.tensors == {"w": state(w=1)["w"]}
    assert places(store) == ["get runs:run", "get_range runs:manifests", "get_range packs:packs"]


def test_opening_reads_one_object(store):
    begun(store)
    store.requests.clear()
    Repository.open(store, PREFIX)
    assert [request.verb for request in store.requests] == ["get"]
