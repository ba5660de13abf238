"""The collector on its own: what goes, what stays, and what happens when it is cut short."""

import pytest

from storage.checkpoints import Damaged, Repository, RunWriter
from storage.checkpoints.collect import collector as product
from storage.checkpoints.collect.collected import Collected, Ending
from storage.checkpoints.collect.explain import UNKNOWN
from storage.checkpoints.format import canonical
from storage.objects import OutcomeUnknown

from .collector import PREFIX, Watch, drop
from .fake_store import Crash, FakeServer, FakeStore, Fault, Request, at
from .simulation import Simulation
from .states import begun, repository, state


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def objects(server: FakeServer) -> set[str]:
    """All packs, manifests and pages."""
    kinds = ("/packs/", "/manifests/", "/pages/")
    return {key for key in server.objects if any(kind in key for kind in kinds)}


def collected(store: FakeStore) -> Collected:
    return repository(store).collect()


def with_garbage(store: FakeStore) -> RunWriter:
    """A run of three commits, of which the older two are dropped."""
    writer = begun(store)
    for step in (1, 2):
        writer.save(state(w=step, m=step), {}, step=step)
    drop(store, "run", keep=1)
    return writer


def test_garbage_is_gone_after_two_collections_and_what_is_named_stays(store):
    with_garbage(store)
    before = objects(store.server)
    first = collected(store)
    assert (first.ending, first.number, first.deleted.objects) == (Ending.FINISHED, 1, 0)
    assert first.young.objects == 4
    second = collected(store)
    assert second.ending is Ending.FINISHED
    assert second.deleted == second.condemned
    assert second.deleted.objects == 4
    gone = before - objects(store.server)
    assert second.deleted.bytes > 0
    assert {PREFIX + one.key for one in second.doomed} == gone
    assert repository(store).restore("run").tensors == state(w=2, m=2)
    assert len(objects(store.server)) == 2


def test_collection_with_nothing_to_do_writes_nothing(store):
    begun(store)
    store.requests.clear()
    assert collected(store).ending is Ending.NOTHING_TO_DO
    assert [it for it in store.requests if it.is_write() and not it.key.endswith("repository.json")] == []


def test_dry_run_says_what_would_go_and_writes_nothing(store):
    with_garbage(store)
    collected(store)
    content = dict(store.server.objects)
    told = repository(store).collect(dry_run=True)
    assert told.ending is Ending.DRY_RUN
    assert told.condemned.objects == 4
    assert store.server.objects == content
    done = collected(store)
    assert done.doomed == told.doomed
    assert done.deleted == told.condemned


def test_a_dry_run_can_say_whose_everything_was(store):
    writer = with_garbage(store)
    store.fault = lambda request: Fault.CRASH_AFTER if "/packs/" in request.key else None
    with pytest.raises(Crash):
        writer.save(state(w=7), {}, step=7)
    store.fault = lambda request: None
    collected(store)
    opened = repository(store)
    told = {one.key: why for one, why in opened.explain(opened.collect(dry_run=True))}
    assert len(told) == 5
    whose = [f"step {step} of run run: dropped, or never committed" for step in (0, 1)]
    assert sorted(told.values()) == sorted([UNKNOWN, *whose, *(f"needed by {it}" for it in whose)])


def test_of_a_dropped_commit_it_says_who_keeps_its_packs_alive(store):
    begun(store)
    opened = repository(store)
    (dropped,) = opened.commits("run")
    opened.fork("run", "newest", "child", "b1")
    opened.drop("run", [dropped.id])
    collected(store)  # what it finds is as young as itself
    told = {one.key: why for one, why in opened.explain(opened.collect(dry_run=True))}
    assert list(told) == [f"runs/run/manifests/{dropped.manifest}"]
    (why,) = told.values()
    assert why.startswith("step 0 of run run: dropped, or never committed; 1 of its 1 packs stay")
    assert why.endswith(f"needed by child/{dropped.id[:8]} (step 0)")


def test_every_head_gets_a_new_version_and_keeps_its_content_and_writer(store):
    with_garbage(store)
    repository(store).fork("run", "newest", "child", "b1")
    before = [repository(store).head(run) for run in ("run", "child")]
    collected(store)
    after = [repository(store).head(run) for run in ("run", "child")]
    for old, new in zip(before, after, strict=True):
        assert new.version == old.version + 1
        assert new.nonce != old.nonce
        assert (new.commits, new.pages, new.writer, new.parent) == (
            old.commits,
            old.pages,
            old.writer,
            old.parent,
        )


def test_a_fork_keeps_the_packs_of_a_dropped_parent(store):
    begun(store)
    repository(store).fork("run", "newest", "child", "b1")
    drop(store, "run")
    for _ in range(3):
        collected(store)
    assert repository(store).restore("child").tensors == state(w=0, m=0)


def break_head(server: FakeServer) -> None:
    server.objects[PREFIX + "runs/run/head"] = b"{"


def lose_head(server: FakeServer) -> None:
    del server.objects[PREFIX + "runs/run/head"]


def lose_manifest(server: FakeServer) -> None:
    (key,) = [key for key in server.objects if "/child/manifests/" in key]
    del server.objects[key]


def break_manifest(server: FakeServer) -> None:
    (key,) = [key for key in server.objects if "/child/manifests/" in key]
    server.objects[key] = server.objects[key][:-1]


def name_a_page_that_is_missing(server: FakeServer) -> None:
    store = FakeStore(server)
    head, _ = repository(store).shelf.read_head("child")
    page = ("00000000-" + "f" * 32, 100)
    server.objects[PREFIX + "runs/child/head"] = head.changed("n", pages=(page,)).to_bytes()


@pytest.mark.parametrize(
    "damage", [break_head, lose_head, lose_manifest, break_manifest, name_a_page_that_is_missing]
)
def test_what_cannot_be_read_ends_the_collection_with_nothing_deleted(store, damage):
    with_garbage(store)
    repository(store).fork("run", "newest", "child", "b1")
    collected(store)
    damage(store.server)
    content = dict(store.server.objects)
    with pytest.raises(Damaged):
        collected(store)
    assert store.server.objects == content


def test_dropping_a_damaged_commit_lets_collections_go_on(store):
    writer = begun(store)
    bad = writer.save(state(w=1), {}, step=1)
    del store.server.objects[f"{PREFIX}runs/run/manifests/{bad.manifest}"]
    with pytest.raises(Damaged, match="beyond repair can be dropped"):
        collected(store)
    repository(store).drop("run", [bad.id])
    collected(store)
    assert collected(store).deleted.objects == 1  # its pack


def test_what_no_writer_would_choose_is_never_touched(store):
    with_garbage(store)
    strange = [
        "packs/notes.txt",
        "packs/00000000-" + "g" * 32,
        "runs/run/manifests/00000000",
        "runs/run/extra/00000000-" + "a" * 32,
        "runs/.hidden/manifests/00000000-" + "a" * 32,
    ]
    for key in strange:
        store.server.objects[PREFIX + key] = b"mine"
    collected(store)
    assert collected(store).strangers == len(strange)
    assert all(PREFIX + key in store.server.objects for key in strange)


def test_of_two_collections_at_once_one_stops():
    simulation = Simulation()
    with_garbage(FakeStore(simulation.server))
    collected(FakeStore(simulation.server))
    for name in ("one", "two"):
        simulation.start(name, collected)
        simulation.advance(name, "put_if_absent", "collections/")
    drop(FakeStore(simulation.server), "run")  # so that the second would condemn something else
    simulation.start("three", collected)
    simulation.advance("three", "put_if_absent", "collections/")
    assert simulation.advance("one").ending is Ending.FINISHED
    assert simulation.advance("three").ending is Ending.ANOTHER_COLLECTS
    assert simulation.advance("two").ending is Ending.FINISHED  # of the very same list: as good as its own


def test_collection_that_sleeps_while_a_newer_one_begins_deletes_nothing():
    simulation = Simulation()
    with_garbage(FakeStore(simulation.server))
    collected(FakeStore(simulation.server))
    simulation.start("old", collected)
    simulation.advance("old", "put_if_match")  # has written its list
    simulation.start("new", collected)
    simulation.advance("new", "put_if_match")
    assert simulation.advance("old").ending is Ending.ANOTHER_COLLECTS
    assert not [it for it in simulation.processes["old"].store.requests if it.verb == "delete"]
    assert simulation.advance("new").deleted.objects == 4


def test_a_list_holds_no_more_than_its_limit_and_the_rest_goes_later(store, monkeypatch):
    monkeypatch.setattr(product, "AT_MOST", 3)
    with_garbage(store)
    collected(store)
    second = collected(store)
    assert (second.deleted.objects, second.left.objects) == (3, 1)
    assert {one.kind for one in second.doomed} == {"manifest", "pack"}
    assert second.doomed[-1].kind == "pack"
    assert collected(store).deleted.objects == 1


FAULTS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_collection_cut_short_at_any_request_harms_nothing_and_the_next_ones_finish(fault):
    """Crashes at every request; lost and late answers at every conditional put."""
    for number in range(200):
        server = FakeServer()
        watch = Watch(server)
        writer = with_garbage(FakeStore(server))
        repository(FakeStore(server)).fork("run", "newest", "child", "b1")
        collected(FakeStore(server))
        writer.save(state(w=2, m=9), {}, step=3)
        faults = at(number, fault)

        def only_conditional(request: Request, faults=faults) -> Fault | None:
            chosen = faults(request)
            crash = fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
            return chosen if crash or request.verb.startswith("put_if") else None

        store = FakeStore(server, only_conditional)
        try:
            opened = Repository.open(store, PREFIX)
            opened.shelf.pause = lambda seconds: None
            opened.collect()
        except (Crash, OutcomeUnknown):
            pass
        server.deliver()
        finished = len(store.requests) <= number
        for _ in range(2):
            assert collected(FakeStore(server)).ending in (Ending.FINISHED, Ending.NOTHING_TO_DO)
        assert watch.losses == [], f"request {number}"
        assert len(objects(server)) == 3 + 2, f"request {number}"  # manifests and packs of what is named
        for step, seeds in ((2, {"w": 2, "m": 2}), (3, {"w": 2, "m": 9})):
            (commit,) = [it for it in repository(FakeStore(server)).commits("run") if it.step == step]
            assert repository(FakeStore(server)).restore("run", commit.id).tensors == state(**seeds)
        if finished:
            break
    assert finished, "there were more requests than tries"


def test_a_late_list_of_a_dead_collector_only_costs_uploads(store):
    """It condemns what a head names by now; nobody deletes on its account."""
    writer = begun(store)
    named = sorted(key.removeprefix(PREFIX) for key in objects(store.server))
    store.server.objects[PREFIX + "collections/00000001"] = canonical.dumps({"condemned": named})
    again = RunWriter.take_over(writer.repository, "run", "a2").save(state(w=0, m=0, v=1), {}, step=1)
    assert again.new_bytes > again.raw_bytes / 2
    for _ in range(2):
        collected(store)
    assert [c.step for c in writer.repository.commits("run")] == [0, 1]
    for commit in writer.repository.commits("run"):
        writer.repository.restore("run", commit.id)


def test_probes_that_writers_left_go_and_nothing_that_looks_like_them(store):
    begun(store)
    left = [f"{PREFIX}probe-{number:024x}" for number in range(3)]
    store.server.objects |= dict.fromkeys(left, b"333")
    others = [
        f"{PREFIX}probe-{1:024x}0",
        f"{PREFIX}probe-notes.txt",
        f"probe-{1:024x}",
        f"{PREFIX}runs/probe-x",
    ]
    store.server.objects |= dict.fromkeys(others, b"333") | {f"{PREFIX}probe-{7:024x}": b"1"}
    told = repository(store).collect(dry_run=True)
    assert (told.probes.objects, left[0] in store.server.objects) == (0, True)
    done = collected(store)
    assert (done.probes.objects, done.probes.bytes) == (3, 9)
    assert not store.server.objects.keys() & left
    assert store.server.objects.keys() >= {
        *others,
        f"{PREFIX}probe-{7:024x}",
    }  # the last is of a probe at work


def test_progress_is_told(store):
    with_garbage(store)
    collected(store)
    told = []
    repository(store).collect(progress=lambda what, done, total: told.append(what))
    assert set(told) == {"reading heads", "reading manifests", "rewriting heads", "deleting"}
