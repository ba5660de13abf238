"""A head that is lost or unreadable is rebuilt from manifests; nothing that it needs is lost meanwhile."""

from collections.abc import Callable

import pytest

from storage.checkpoints import (
    CommitMissing,
    Damaged,
    Ending,
    HeadLost,
    NothingToRepair,
    Repository,
    RunMissing,
    RunWriter,
    TakenOver,
)
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.format import pages

from .collector import PREFIX, Watch
from .fake_store import FakeServer, FakeStore, Request
from .simulation import Simulation
from .states import begun, repository, state

HEAD = f"{PREFIX}runs/run/head"


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def run_of(store: FakeStore, count: int) -> RunWriter:
    """Only w changes, so m lies in the first pack."""
    writer = begun(store)
    for step in range(1, count):
        writer.save(state(w=step, m=0), {"step": step}, step=step, metrics={"loss": 1 / step})
    return writer


def delete(server: FakeServer) -> None:
    del server.objects[HEAD]


def garble(server: FakeServer) -> None:
    server.objects[HEAD] = b"\x00\xff no head"


def truncate(server: FakeServer) -> None:
    server.objects[HEAD] = server.objects[HEAD][:-7]


LOSSES = [delete, garble, truncate]


def steps(opened: Repository, run: str = "run") -> list[int]:
    return [it.step for it in opened.commits(run)]


def everything_is_there(opened: Repository, count: int) -> None:
    assert steps(opened) == list(range(count))
    for commit in opened.commits("run"):
        assert opened.restore("run", commit.id).tensors == state(w=commit.step, m=0)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_run_that_lost_its_head_gets_it_back_with_every_commit(lose, store):
    before = run_of(store, 4).head
    lose(store.server)
    opened = repository(store)
    assert opened.broken_runs() == ["run"]
    done = opened.repair("run")
    assert opened.broken_runs() == []
    everything_is_there(opened, 4)
    assert done.named == opened.commits("run")
    assert (done.copied, done.lost, done.incomplete, done.forgotten) == ((), (), (), 4)
    after = opened.head("run")
    assert [it.id for it in after.commits] == [it.id for it in before.commits]
    assert [it.new_bytes for it in after.commits] == [it.new_bytes for it in before.commits]
    report = opened.verify(deep=True)
    assert (report.findings, report.unreferenced) == ([], 0)


@pytest.mark.parametrize("lose", LOSSES)
def test_the_collector_waits_until_the_run_is_repaired(lose, store):
    run_of(store, 3)
    lose(store.server)
    opened = repository(store)
    with pytest.raises(Damaged, match="repair run"):
        opened.collect()
    opened.repair("run")
    for _ in range(3):
        assert opened.collect().ending in (Ending.FINISHED, Ending.NOTHING_TO_DO)
    everything_is_there(opened, 3)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_resume_goes_on_and_an_older_trainer_stops(lose, store):
    older = run_of(store, 3)
    lose(store.server)
    repository(store).repair("run")
    with pytest.raises(TakenOver):
        older.save(state(w=9), {}, step=9)
    resumed = RunWriter.take_over(repository(store), "run", "a2")
    assert resumed.resume().commit.step == 2
    again = resumed.save(state(w=3, m=0), {"step": 3}, step=3)
    assert again.new_bytes < 4000  # m was not stored again
    everything_is_there(repository(store), 4)


def test_a_dry_run_says_the_same_and_writes_nothing(store):
    run_of(store, 3)
    delete(store.server)
    before = dict(store.server.objects)
    said = repository(store).repair("run", dry_run=True)
    assert store.server.objects == before
    done = repository(store).repair("run")
    assert (said.named, said.copied, said.lost) == (done.named, done.copied, done.lost)


def test_a_head_in_order_and_a_run_that_never_was_are_left_alone(store):
    run_of(store, 2)
    before = dict(store.server.objects)
    with pytest.raises(NothingToRepair, match="names 2 commits"):
        repository(store).repair("run")
    with pytest.raises(RunMissing):
        repository(store).repair("another")
    assert store.server.objects == before


def test_a_damaged_manifest_is_told_and_the_others_come_back(store):
    head = run_of(store, 4).head
    key = f"{PREFIX}runs/run/manifests/{head.commits[2].manifest}"
    store.server.objects[key] = store.server.objects[key][:-3]
    delete(store.server)
    done = repository(store).repair("run")
    assert [it.step for it in done.named] == [0, 1, 3]
    assert [(it.manifest, it.commit) for it in done.lost] == [(head.commits[2].manifest, None)]
    assert "not JSON" in done.lost[0].why
    assert repository(store).verify(deep=True).findings == []


def test_a_commit_that_lacks_a_pack_is_named_as_damaged(store):
    run_of(store, 3)
    opened = repository(store)
    packs = [set(opened.shelf.read_manifest("run", it).packs) for it in opened.commits("run")]
    (own,) = packs[2] - packs[1] - packs[0]
    del store.server.objects[f"{PREFIX}packs/{own}"]
    delete(store.server)
    done = opened.repair("run")
    assert [(it.commit.step, own in it.why) for it in done.incomplete] == [(2, True)]
    assert [it.damaged for it in done.named] == [False, False, True]
    assert opened.restore("run").commit.step == 1


def test_where_nothing_can_be_saved_nothing_is_changed(store):
    commit = run_of(store, 1).head.commits[0]
    store.server.objects[f"{PREFIX}runs/run/manifests/{commit.manifest}"] = b"{}"
    delete(store.server)
    before = dict(store.server.objects)
    with pytest.raises(CommitMissing, match="not one of 1 manifests"):
        repository(store).repair("run")
    assert store.server.objects == before


def test_marks_come_back_from_pages(store, monkeypatch):
    for name, value in (("HEAD_COMMITS", 8), ("STAY", 3), ("JUST_WRITTEN", 2)):
        monkeypatch.setattr(pages, name, value)
    run_of(store, 30)
    opened = repository(store)
    old, young = opened.commits("run")[5], opened.commits("run")[-1]
    opened.tag("run", old.id, "good")
    opened.pin("run", old.id, "me")
    opened.note("run", old.id, "before the sensors")
    opened.tag("run", young.id, "lost")
    old = next(it for it in opened.commits("run") if it.id == old.id)
    on_pages = sum(len(page.commits) for page in pages.read_whole(opened.shelf, "run").pages)
    delete(store.server)
    done = opened.repair("run")
    everything_is_there(opened, 30)
    assert opened.restore("run", "good").commit == old
    assert (len(done.told), done.forgotten) == (on_pages, 30 - on_pages)
    assert len(opened.head("run").commits) <= 8
    for _ in range(2):
        opened.collect()
    assert opened.verify(deep=True).unreferenced == 0


def run_that_lost_a_page(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> RunWriter:
    for name, value in (("HEAD_COMMITS", 8), ("STAY", 3), ("JUST_WRITTEN", 2)):
        monkeypatch.setattr(pages, name, value)
    writer = run_of(store, 14)
    opened = repository(store)
    opened.tag("run", writer.head.commits[-1].id, "kept")
    (page,) = (name for name, _ in opened.head("run").pages)
    del store.server.objects[f"{PREFIX}runs/run/pages/{page}"]
    with pytest.raises(Damaged, match="carousel checkpoints repair run"):
        opened.collect()
    return writer


def test_a_page_that_is_lost_is_made_again_of_manifests_and_the_head_keeps_what_it_tells(store, monkeypatch):
    run_that_lost_a_page(store, monkeypatch)
    opened = repository(store)
    before = opened.head("run")
    assert opened.broken_runs() == ["run"]
    done = opened.repair("run")
    assert (opened.broken_runs(), done.lost) == ([], ())
    assert "page" in done.trouble
    everything_is_there(opened, 14)
    assert opened.restore("run", "kept").commit == before.commits[-1]
    assert opened.head("run").version > before.version
    for _ in range(2):
        opened.collect()
    assert opened.verify(deep=True).findings == []
    with pytest.raises(NothingToRepair):
        opened.repair("run")


def test_a_commit_that_lands_while_a_page_is_mended_stays(store, monkeypatch):
    writer = run_that_lost_a_page(store, monkeypatch)
    landed = []

    def land(request: Request) -> None:
        if request.verb == "put_if_match" and not landed:
            landed.append(True)
            writer.save(state(w=14, m=0), {"step": 14}, step=14)

    other = FakeStore(store.server)
    other.fault = land
    assert [it.step for it in repository(other).repair("run").named] == list(range(15))
    everything_is_there(repository(store), 15)
    with pytest.raises(TakenOver):
        writer.save(state(w=15, m=0), {"step": 15}, step=15)


def test_of_two_manifests_of_a_commit_one_is_named(store):
    writer = run_of(store, 2)
    RunWriter.take_over(repository(store), "run", "a2").mark_damaged([writer.head.commits[1].id])
    RunWriter.take_over(repository(store), "run", "a3").save(state(w=1, m=0), {"step": 1}, step=1)
    delete(store.server)
    done = repository(store).repair("run")
    assert [it.step for it in done.named] == [0, 1]
    everything_is_there(repository(store), 2)


def condemned_but_needed(simulation: Simulation) -> None:
    """A collection has condemned what a head names, and waits before its deletions; then the head is lost."""
    server = simulation.server
    run_of(FakeStore(server), 3)
    opened = repository(FakeStore(server))
    dropped = opened.drop("run", [it.id for it in opened.commits("run")[1:]]).dropped
    simulation.start("collector", lambda store: repository(store).collect())
    simulation.advance("collector", "put_if_absent", "collections/")
    opened.undo_drop("run", dropped)  # in time: the collection keeps it when it rewrites the head
    simulation.advance("collector", "put_if_match")


@pytest.mark.parametrize("lose", LOSSES)
def test_what_a_list_condemns_is_copied_and_not_named(lose, monkeypatch):
    monkeypatch.setattr(_Collection, "is_old", lambda self, name: True)
    simulation = Simulation()
    watch = Watch(simulation.server)
    condemned_but_needed(simulation)
    simulation.advance("collector")
    opened = repository(FakeStore(simulation.server))
    condemned = opened.shelf.condemned(1, 1)
    manifests = {f"runs/run/manifests/{it.manifest}" for it in opened.commits("run") if it.step}
    assert manifests < condemned
    lose(simulation.server)
    said = opened.repair("run", dry_run=True)
    done = opened.repair("run")
    assert [it.step for it in said.copied] == [it.step for it in done.copied] == [1, 2]
    for commit in opened.commits("run"):
        needs = opened.shelf.read_manifest("run", commit).packs
        assert condemned.isdisjoint(
            [f"runs/run/manifests/{commit.manifest}", *(f"packs/{it}" for it in needs)]
        )
    everything_is_there(opened, 3)
    assert watch.losses == []


def condemned_and_dropped(simulation: Simulation) -> None:
    """The same, but step 1 stays dropped, and the collection is about to delete it."""
    server = simulation.server
    run_of(FakeStore(server), 3)
    opened = repository(FakeStore(server))
    _, one, two = opened.commits("run")
    opened.drop("run", [one.id, two.id])
    simulation.start("collector", lambda store: repository(store).collect())
    simulation.advance("collector", "put_if_absent", "collections/")
    opened.undo_drop("run", [two])
    simulation.advance("collector", "delete")


REPAIRS = 60
"""More requests than any of these repairs sends."""


def each_pause(
    begin: Callable[[Simulation], None],
    lose: Callable[[FakeServer], None],
    act: Callable[[FakeStore], object],
) -> int:
    """Stop a repair before each of its requests in turn and let others act there; how many pauses."""
    for number in range(REPAIRS):
        simulation = Simulation()
        watch = Watch(simulation.server)
        begin(simulation)
        lose(simulation.server)
        simulation.start("repair", lambda store: repository(store).repair("run"))
        for _ in range(number):
            if not simulation.processes["repair"].finished:
                simulation.step("repair")
        finished = simulation.processes["repair"].finished
        simulation.advance("collector")  # of before the loss
        act(FakeStore(simulation.server))
        done = simulation.advance("repair")
        assert not isinstance(done, BaseException) or isinstance(done, NothingToRepair), done
        assert watch.losses == [], number
        opened = repository(FakeStore(simulation.server))
        for _ in range(3):
            assert opened.collect().ending in (Ending.FINISHED, Ending.NOTHING_TO_DO)
        assert {0, 2} <= set(steps(opened))
        for commit in opened.commits("run"):
            assert opened.restore("run", commit.id).tensors == state(w=commit.step, m=0)
        report = opened.verify(deep=True)
        assert (report.findings, report.marked, report.unreferenced) == ([], 0, 0)
        if finished:
            return number
    raise AssertionError("it never ends")


def collect_twice(store: FakeStore) -> None:
    """By a collector that heeds no generations, as far as it gets."""
    for _ in range(2):
        try:
            repository(store).collect()
        except Damaged:
            return


def take_over(store: FakeStore) -> None:
    try:
        RunWriter.take_over(repository(store), "run", "a9")
    except (RunMissing, Damaged):
        return


def repair_too(store: FakeStore) -> None:
    try:
        repository(store).repair("run")
    except NothingToRepair:
        return


@pytest.mark.parametrize(
    ("begin", "lose", "act"),
    [
        (condemned_and_dropped, delete, collect_twice),
        pytest.param(condemned_but_needed, delete, collect_twice, marks=pytest.mark.slow),
        pytest.param(condemned_and_dropped, garble, collect_twice, marks=pytest.mark.slow),
        pytest.param(condemned_but_needed, garble, take_over, marks=pytest.mark.slow),
        pytest.param(condemned_and_dropped, delete, take_over, marks=pytest.mark.slow),
        pytest.param(condemned_but_needed, delete, repair_too, marks=pytest.mark.slow),
        pytest.param(condemned_and_dropped, garble, repair_too, marks=pytest.mark.slow),
    ],
)
def test_whatever_others_do_at_any_moment_of_a_repair_loses_nothing(begin, lose, act, monkeypatch):
    monkeypatch.setattr(_Collection, "is_old", lambda self, name: True)
    assert each_pause(begin, lose, act) > 10


def test_no_run_is_begun_where_checkpoints_wait_for_a_repair(store):
    """A new head would name none of them, and the next collections would delete them."""
    run_of(store, 3)
    del store.server.objects[HEAD]
    with pytest.raises(HeadLost, match="carousel checkpoints repair run"):
        begun(store)
    assert HEAD not in store.server.objects
