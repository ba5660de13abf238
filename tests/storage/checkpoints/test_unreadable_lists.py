"""A collection's list that cannot be read stops saves, loses nothing, and a newer list is the way out."""

import random
from collections.abc import Callable

import pytest

from storage.checkpoints import Damaged, Ending, RunWriter
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.format import canonical

from .collector import PREFIX, Watch
from .fake_store import FakeServer, FakeStore
from .schedules import collector, forker, keeper, trainer
from .simulation import Simulation
from .states import begun, repository, state

LIST = f"{PREFIX}collections/00000001"


@pytest.fixture
def store() -> FakeStore:
    """A run of three commits, whose only collection's list is damaged."""
    store = FakeStore()
    writer = begun(store)
    for step in (1, 2):
        writer.save(state(w=step, m=0), {"step": step}, step=step)
    damage(store.server)
    return store


def damage(server: FakeServer) -> None:
    server.objects[LIST] = b'{"condemned":["packs/0000'


def by_gc(store: FakeStore) -> None:
    done = repository(store).collect()
    assert (done.number, done.ending, done.deleted.objects) == (2, Ending.FINISHED, 0)
    assert "collection 1" in done.unreadable


def by_repair(store: FakeStore) -> None:
    assert "collection 1" in repository(store).unreadable_list()
    assert repository(store).begin_newer_list() == 2


@pytest.mark.parametrize("remedy", [by_gc, by_repair])
def test_saves_that_it_stops_name_a_remedy_that_helps(store, remedy: Callable[[FakeStore], None]):
    stopped = RunWriter.take_over(repository(store), "run", "a2")
    with pytest.raises(Damaged, match="`carousel checkpoints gc` or `repair` begins a newer collection"):
        stopped.save(state(w=3, m=0), {}, step=3)
    found = repository(store).verify()
    assert "`carousel checkpoints gc`" in found.findings[0].what
    remedy(store)
    RunWriter.take_over(repository(store), "run", "a3").save(state(w=3, m=0), {}, step=3)
    opened = repository(store)
    assert [opened.restore("run", it.id).tensors["m"] for it in opened.commits("run")] == [
        state(m=0)["m"]
    ] * 4
    healed = opened.verify(deep=True)
    assert healed.intact
    assert "collection 1" in healed.remarks[0]
    assert (opened.unreadable_list(), opened.begin_newer_list()) == (None, None)


def test_a_dry_collection_tells_it_and_writes_nothing(store):
    before = dict(store.server.objects)
    told = repository(store).collect(dry_run=True)
    assert (told.ending, "collection 1" in told.unreadable) == (Ending.DRY_RUN, True)
    assert store.server.objects == before


@pytest.mark.parametrize("lose", [damage, lambda server: server.objects.pop(LIST)], ids=["damaged", "lost"])
def test_a_head_is_rebuilt_although_nobody_knows_what_was_condemned(store, lose):
    """All that the list may have condemned is stored anew, so that whoever deletes it harms nothing."""
    repository(store).begin_newer_list()
    lose(store.server)
    older = {key for key in store.server.objects if "/packs/" in key or "/manifests/" in key}
    del store.server.objects[f"{PREFIX}runs/run/head"]
    assert len(repository(store).repair("run").copied) == 3
    for key in older:
        del store.server.objects[key]
    for commit in (opened := repository(store)).commits("run"):
        assert opened.restore("run", commit.id).tensors == state(w=commit.step, m=0)


def test_a_drop_is_taken_back_by_storing_it_anew(store):
    repository(store).begin_newer_list()
    opened = repository(store)
    older = {key for key in store.server.objects if "/packs/" in key or "/manifests/" in key}
    last = opened.commits("run")[-1]
    opened.undo_drop("run", opened.drop("run", [last.id]).dropped)
    again = opened.commits("run")[-1]
    assert (again.id, f"{PREFIX}runs/run/manifests/{again.manifest}" in older) == (last.id, False)
    assert opened.restore("run", last.id).tensors == state(w=2, m=0)


def test_a_bucket_with_the_highest_number_is_answered_at_once(store):
    store.server.objects[f"{PREFIX}collections/99999998"] = canonical.dumps({"condemned": []})
    del store.server.objects[f"{PREFIX}runs/run/head"]
    store.requests.clear()
    opened = repository(store)
    assert len(opened.repair("run").copied) == 3
    assert opened.verify().intact
    assert len(store.requests) < 200


def damager(rng: random.Random) -> Callable[[FakeStore], None]:
    """Damages the newest list at some moment, and takes the way out some time later."""
    before, after = rng.choice((1, 5, 20, 40)), rng.choice((0, 2, 6))

    def work(store: FakeStore) -> None:
        opened = repository(store)
        for _ in range(before):
            newest = opened.shelf.newest_collection()
        if newest:
            store.server.objects[f"{PREFIX}collections/{newest:08d}"] = b"no list"
        for _ in range(after):
            list(store.scan(PREFIX))
        opened.begin_newer_list()

    return work


def test_whenever_a_list_is_damaged_and_superseded_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(_Collection, "is_old", lambda self, name: True)  # sees no generations: loses more
    begun_lists = 0
    for seed in range(60):
        rng = random.Random(seed)
        simulation = Simulation()
        watch = Watch(simulation.server)
        begun(FakeStore(simulation.server)).save(state(w=1, m=0), {}, step=1)
        for number in range(2):
            simulation.start(f"collector {number}", collector(rng))
        simulation.start("trainer", trainer("a2", rng))
        simulation.start("fork", forker(rng))
        simulation.start("keeper", keeper(rng, ("run", "child")))
        simulation.start("damager", damager(rng))
        simulation.shuffle(seed)
        assert watch.losses == [], seed
        opened = repository(FakeStore(simulation.server))
        damaged = [it for it in opened.shelf.collections() if unreadable(simulation.server, it)]
        begun_lists += len(damaged)
        RunWriter.take_over(opened, "run", "last").save(state(w=7, m=7), {}, step=70)
        assert opened.verify(deep=True).findings == [], seed
    assert begun_lists > 10


def unreadable(server: FakeServer, number: int) -> bool:
    return server.objects[f"{PREFIX}collections/{number:08d}"] == b"no list"


@pytest.mark.parametrize("content", [canonical.dumps({"condemned": []}), b"no list"])
def test_no_collection_follows_the_last_number_and_says_so(content):
    store = FakeStore()
    begun(store).save(state(w=1), {}, step=1)
    store.server.objects[f"{PREFIX}collections/99999999"] = content
    store.server.objects[f"{PREFIX}packs/00000001-{'0' * 32}"] = b"garbage"
    with pytest.raises(Damaged, match="collection 100000000 has no number"):
        repository(store).collect()
