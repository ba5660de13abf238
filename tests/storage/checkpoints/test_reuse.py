"""Runs that begin with tensors that other runs hold store none of them again, and lose none of them."""

import contextlib
import itertools

import pytest

from storage.checkpoints import Commit, DeltaPolicy, OuterKey, Repository, RunWriter
from storage.checkpoints.format import pages
from storage.checkpoints.save import borrowing

from .adam import states
from .collector import PREFIX, Watch, collect, drop
from .fake_store import Crash, FakeServer, FakeStore, Fault, at
from .rules import without_check, without_the_first_list
from .simulation import Simulation
from .states import begun, repository, state


@pytest.fixture(autouse=True)
def _small_states_ask_too(monkeypatch):
    monkeypatch.setattr(borrowing, "LEAST", 0)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def independent(store: FakeStore, run: str = "other", **seeds: int) -> RunWriter:
    """A run of its own that loads the tensors that `begun` has saved, and saves them."""
    writer = RunWriter.create(repository(store), run, "b1")
    writer.save(state(**(seeds or {"w": 0, "m": 0})), {"step": 0}, step=0)
    return writer


def tensor_bytes(commit: Commit) -> int:
    """That a commit has added to the repository."""
    return commit.new_bytes - commit.manifest_bytes


def packs(store: FakeStore) -> set[str]:
    return {key for key in store.server.objects if "/packs/" in key}


def test_a_run_that_begins_with_what_another_holds_stores_no_tensor_bytes(store):
    begun(store)
    before = packs(store)
    writer = independent(store)
    assert tensor_bytes(writer.head.commits[0]) == 0
    assert packs(store) == before
    assert writer.repository.restore("other").tensors == state(w=0, m=0)


def test_only_the_tensors_that_no_run_holds_are_stored(store):
    begun(store)
    commit = independent(store, w=0, m=0, v=7).head.commits[0]
    assert 0 < tensor_bytes(commit) <= 2048
    manifest = repository(store).shelf.read_manifest("other", commit)
    assert len(manifest.packs) == 2


def test_a_resumed_run_knows_what_it_took_from_others(store):
    begun(store)
    independent(store)
    for key in [it for it in store.server.objects if "/runs/run/" in it]:
        del store.server.objects[key]  # nothing is left to look it up in but its own head
    writer = RunWriter.take_over(repository(store), "other", "b2")
    assert tensor_bytes(writer.save(state(w=0, m=0), {"step": 1}, step=1)) == 0


def test_only_the_first_save_of_a_run_asks_others(store):
    begun(store)
    writer = independent(store)
    store.requests.clear()
    writer.save(state(w=1, m=0), {"step": 1}, step=1)
    assert [it.verb for it in store.requests] == ["put", "put", "put_if_match"]
    store.requests.clear()
    RunWriter.take_over(writer.repository, "other", "b2").save(state(w=2, m=0), {}, step=2)
    assert not [it for it in store.requests if "/runs/run/" in it.key]


def test_a_first_save_that_is_small_asks_nobody(store, monkeypatch):
    monkeypatch.setattr(borrowing, "LEAST", 2 * 2048 + 1)
    begun(store)
    writer = RunWriter.create(repository(store), "other", "b1")
    store.requests.clear()
    writer.save(state(w=0, m=0), {"step": 0}, step=0)
    assert not [it for it in store.requests if "/runs/run/" in it.key or it.key == f"{PREFIX}runs/"]


def test_what_is_remembered_of_others_is_what_the_commit_names(store):
    other = begun(store)
    other.save(state(w=0, m=0, v=0), {}, step=1)
    writer = independent(store)  # v is there too, and not asked for
    assert tensor_bytes(writer.save(state(w=0, m=0, v=0), {}, step=1)) > 0


def test_what_is_asked_for_does_not_grow_with_commits_and_little_with_runs(store, monkeypatch):
    monkeypatch.setattr(pages, "HEAD_COMMITS", 8)
    monkeypatch.setattr(pages, "STAY", 2)
    monkeypatch.setattr(pages, "JUST_WRITTEN", 2)
    asked = {}
    for runs, commits in ((2, 1), (2, 12), (20, 1)):
        fresh = FakeStore()
        for number in range(runs):
            writer = begun(fresh, f"run-{number}")
            for step in range(1, commits):
                writer.save(state(w=step, m=step), {}, step=step)
        counting = FakeStore(fresh.server)
        independent(counting, "nothing-in-common", w=99, m=99)
        asked[runs, commits] = len([it for it in counting.requests if "/runs/run-" in it.key])
    assert (asked[2, 1], asked[2, 12]) == (2 * 2, 2 * 4)  # pages, and the newest commit, beside the first
    assert asked[20, 1] <= 2 * borrowing.RUNS  # a head and a manifest, and fewer of these in a small state


def test_runs_that_are_named_alike_come_first_and_likely_ones_before_them(store):
    for name in ("aaa", "flights-1", "flights-2", "zzz"):
        begun(store, name)
    assert borrowing._nearest(repository(store).shelf, "flights-3", ()) == [
        *("flights-2", "flights-1"),
        *("zzz", "aaa"),
    ]
    assert borrowing._nearest(repository(store).shelf, "flights-3", ("aaa", "gone"))[:2] == [
        "aaa",
        "flights-2",
    ]


def test_what_a_run_began_with_is_found_after_it_has_trained_on(store):
    other = begun(store)
    for step in range(1, 5):
        other.save(state(w=step, m=step), {}, step=step)
    assert tensor_bytes(independent(store).head.commits[0]) == 0
    assert tensor_bytes(independent(store, "third", w=4, m=4).head.commits[0]) == 0


def test_chains_of_differences_are_reused_as_far_as_a_restore_reads_little(store):
    repo = repository(store)
    writer = RunWriter.create(repo, "run", "a1")
    for step, (tensors, hints) in enumerate(itertools.islice(states(6), 6)):
        writer.save(tensors, {}, step=step, hints=hints)
    whole = RunWriter.create(repo, "whole", "b1").save(tensors, {}, step=0)
    assert tensor_bytes(whole) == 0
    alone = RunWriter.create(repo, "alone", "b1")
    alone.deltas = DeltaPolicy(read_limit=0)
    commit = alone.save(tensors, {}, step=0)
    assert not any(at.bases for at in repo.shelf.read_manifest("alone", commit).locations.values())
    for run in ("whole", "alone"):
        assert repo.restore(run).tensors == tensors


def test_an_encrypted_repository_shares_them_too():
    key = OuterKey(bytes(32), is_passphrase=False)
    repo = Repository.create(FakeStore(), PREFIX, key=key, pause=lambda seconds: None)
    for run, first in (("run", True), ("other", False)):
        commit = RunWriter.create(repo, run, "a1").save(state(w=0, m=0), {}, step=0)
        assert (tensor_bytes(commit) > 0) == first
    assert repo.restore("other").tensors == state(w=0, m=0)


@pytest.mark.parametrize("damage", ["marked", "pack is short", "pack is gone", "manifest is gone", "head"])
def test_what_is_damaged_elsewhere_is_not_reused(store, damage):
    writer = begun(store)
    commit = writer.head.commits[0]
    (pack,) = packs(store)
    match damage:
        case "marked":
            writer.mark_damaged([commit.id])
        case "pack is short":
            store.server.objects[pack] = b"short"
        case "pack is gone":
            del store.server.objects[pack]
        case "manifest is gone":
            del store.server.objects[f"{PREFIX}runs/run/manifests/{commit.manifest}"]
        case "head":
            store.server.objects[f"{PREFIX}runs/run/head"] = b"{"
    other = independent(store)
    assert tensor_bytes(other.head.commits[0]) > 0
    assert other.repository.restore("other").tensors == state(w=0, m=0)


def test_packs_of_a_dropped_run_stay_as_long_as_another_one_names_them(store):
    begun(store)
    independent(store)
    repo = repository(store)
    repo.drop("run", [it.id for it in repo.commits("run")])
    for _ in range(3):
        repo.collect()
    assert repo.verify(deep=True).findings == []
    assert repo.restore("other").tensors == state(w=0, m=0)
    repo.drop("other", [it.id for it in repo.commits("other")])
    for _ in range(2):
        repo.collect()
    assert packs(store) == set()


def attempted(store: FakeStore) -> object:
    return independent(store)


def whole_collections(server: FakeServer) -> None:
    for _ in range(2):
        assert collect(FakeStore(server)).startswith("deleted")


def paused_at_each_request(collections) -> list[tuple[int, list[str]]]:
    """The writer sleeps before its n-th request; meanwhile the other run is dropped, and collected."""
    found = []
    for number in range(1000):
        simulation = Simulation()
        watch = Watch(simulation.server)
        begun(FakeStore(simulation.server))
        simulation.start("writer", attempted)
        for _ in range(number):
            simulation.step("writer")
            if simulation.processes["writer"].finished:
                return found
        drop(FakeStore(simulation.server), "run")
        collections(simulation.server)
        result = simulation.advance("writer")
        if not isinstance(result, RunWriter):
            raise AssertionError(f"at request {number}") from result
        found.append((number, watch.losses))
        if not watch.losses:
            reopened = repository(FakeStore(simulation.server))
            assert reopened.restore("other").tensors == state(w=0, m=0)
            for _ in range(2):
                reopened.collect()
            assert reopened.verify(deep=True).findings == []
    raise AssertionError("it never ends")


def test_paused_at_any_request_while_the_other_run_goes_a_new_run_loses_nothing():
    found = paused_at_each_request(whole_collections)
    assert len(found) > 10
    assert [number for number, losses in found if losses] == []


def test_without_the_look_at_collections_the_same_pauses_lose_data(monkeypatch):
    without_check(monkeypatch)
    assert [number for number, losses in paused_at_each_request(whole_collections) if losses]


def newest_list_condemns_what_a_new_run_reuses(simulation: Simulation) -> None:
    """A pack is condemned by the very list that the new run's writer knows, and dropped before it is kept."""
    server = simulation.server
    begun(FakeStore(server))
    drop(FakeStore(server), "run")
    simulation.start(
        "trainer",
        lambda it: RunWriter.take_over(repository(it), "run", "a2").save(
            state(w=0, m=0), {"step": 1}, step=1
        ),
    )
    simulation.advance("trainer", "put_if_match", "/head")  # of the take-over
    simulation.advance("trainer", "get", "/head")
    simulation.advance("trainer", "put_if_match", "/head")  # of the commit
    simulation.start("collector", collect)
    simulation.advance("collector", "put_if_absent", "collections/")  # has marked without the commit
    simulation.advance("trainer")
    simulation.advance("collector", "put_if_match")  # collection 1 condemns the commit's pack
    simulation.start("writer", attempted)
    simulation.advance("writer", "put", "/other/manifests/")  # knows collection 1, reuses the pack
    drop(FakeStore(server), "run")
    simulation.advance("collector", "delete")
    simulation.advance("writer")
    simulation.advance("collector")


@pytest.mark.parametrize("rule", [without_check, without_the_first_list])
def test_the_first_list_counts_for_what_a_new_run_reuses(rule, monkeypatch):
    for broken in (False, True):
        simulation = Simulation()
        watch = Watch(simulation.server)
        if broken:
            rule(monkeypatch)
        newest_list_condemns_what_a_new_run_reuses(simulation)
        assert bool(watch.losses) == broken, watch.losses


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_killed_at_any_request_a_new_run_can_be_taken_over_and_still_stores_nothing_twice(fault):
    for number in range(1000):
        server = FakeServer()
        begun(FakeStore(server))
        store = FakeStore(server, at(number, fault))
        with contextlib.suppress(Crash):
            independent(store)
        finished = len(store.requests) <= number
        again = FakeStore(server)
        if f"{PREFIX}runs/other/head" in server.objects:
            writer = RunWriter.take_over(repository(again), "other", "b2")
        else:
            writer = RunWriter.create(repository(again), "other", "b2")
        commit = writer.save(state(w=0, m=0), {"step": 0}, step=0)
        assert tensor_bytes(commit) == 0
        assert repository(again).statistics().packs == 1
        if finished:
            break
    assert number > 8
