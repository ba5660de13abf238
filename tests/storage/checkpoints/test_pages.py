"""Older commits of a long head move to pages: heads stay small, nothing is lost or found twice."""

import random
from dataclasses import replace

import pytest

from storage.checkpoints import Repository, Retention, RunWriter
from storage.checkpoints.format import pages
from storage.checkpoints.format.head import Commit

from .collector import PREFIX, Watch, collect
from .fake_store import FakeServer, FakeStore, Fault, Request
from .simulation import Simulation
from .states import begun, repository, state


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(pages, "HEAD_COMMITS", 8)
    monkeypatch.setattr(pages, "STAY", 3)
    monkeypatch.setattr(pages, "JUST_WRITTEN", 2)


def run_of(store: FakeStore, count: int, **options) -> RunWriter:
    writer = begun(store)
    for step in range(1, count):
        writer.save(state(w=step % 4), {"step": step}, step=step, **options)
    return writer


def steps(commits) -> list[int]:
    return [commit.step for commit in commits]


def test_a_long_run_keeps_its_head_small_and_every_commit():
    store = FakeStore()
    writer = run_of(store, 60)
    head = repository(store).head("run")
    assert len(head.commits) <= 8
    assert len(head.pages) >= 8
    assert steps(repository(store).commits("run")) == list(range(60))
    for step in (0, 17, 40, 59):
        (commit,) = [it for it in repository(store).commits("run") if it.step == step]
        assert repository(store).restore("run", commit.id).meta == {"step": step}
    assert writer.resume().commit.step == 59
    resumed = RunWriter.take_over(writer.repository, "run", "a2")
    resumed.save(state(w=60), {}, step=60)
    assert steps(repository(store).commits("run")) == list(range(61))


def test_a_save_reads_nothing_even_when_it_turns_a_page():
    store = FakeStore()
    writer = run_of(store, 4)
    store.requests.clear()
    for step in range(4, 20):
        writer.save(state(w=step), {}, step=step)
    assert {it.verb for it in store.requests} == {"put", "put_if_match"}
    assert len([it for it in store.requests if "/pages/" in it.key]) == len(writer.head.pages) > 0


def test_the_highest_steps_and_what_was_written_last_stay_in_the_head():
    store = FakeStore()
    writer = begun(store)
    for step in (100, 90, 80, 1, 2, 3, 4, 5, 6):
        writer.save(state(w=step), {}, step=step)
    assert steps(writer.head.commits) == [100, 90, 80, 4, 5, 6]
    assert repository(store).restore("run").commit.step == 100


def test_a_state_that_is_saved_again_long_after_is_one_commit():
    store = FakeStore()
    writer = run_of(store, 20)
    again = writer.save(state(w=3), {"step": 3}, step=3)
    assert [it.id for it in repository(store).commits("run")].count(again.id) == 1
    assert repository(store).restore("run", again.id).tensors == state(w=3)
    repository(store).drop("run", [again.id])
    assert again.id not in [it.id for it in repository(store).commits("run")]


def test_retention_and_tags_reach_into_pages_and_small_pages_are_packed_together():
    store = FakeStore()
    run_of(store, 60)
    opened = repository(store)
    old = opened.commits("run")[7]
    opened.tag("run", old.id, "good")
    opened.pin("run", opened.commits("run")[11].id, "me")
    assert opened.restore("run", "good").commit.step == 7
    before = len(opened.head("run").pages)
    dropped = opened.retain("run", Retention(last=2, every=10))
    assert steps(dropped.kept) == steps(opened.commits("run")) == [0, 7, 10, 11, 20, 30, 40, 50, 58, 59]
    assert len(opened.head("run").pages) == 1 < before
    for _ in range(2):
        opened.collect()
    report = opened.verify(deep=True)
    assert report.intact
    assert (report.commits, report.unreferenced) == (10, 0)
    kinds = [key.split("/")[-2] for key in store.server.objects]
    assert (kinds.count("manifests"), kinds.count("pages")) == (10, 1)


def test_reading_goes_on_when_a_page_is_replaced_and_collected_meanwhile():
    simulation = Simulation()
    writer = run_of(FakeStore(simulation.server), 30)
    wanted = writer.repository.commits("run")[10].id
    simulation.start("reader", lambda store: Repository.open(store, PREFIX).restore("run", wanted))
    simulation.advance("reader", "get_range", "/pages/")
    opened = repository(FakeStore(simulation.server))
    opened.retain("run", Retention(last=1, every=10))
    for _ in range(2):
        opened.collect()
    assert simulation.advance("reader").commit.step == 10


def test_a_page_whose_answer_is_lost_or_whose_put_is_lost_loses_nothing():
    for seed in range(10):
        rng = random.Random(seed)
        server = FakeServer()
        watch = Watch(server)

        def fault(request: Request, rng=rng) -> Fault | None:
            if request.verb == "put_if_match" and rng.random() < 0.3:
                return rng.choice((Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE))
            return None

        store = FakeStore(server, fault)
        writer = begun(store)
        for step in range(1, 25):
            writer.save(state(w=step % 3), {"step": step}, step=step)
            if rng.random() < 0.3:
                server.deliver()
            if rng.random() < 0.1:
                repository(FakeStore(server)).collect()
        server.deliver()
        assert watch.losses == []
        assert steps(repository(FakeStore(server)).commits("run")) == list(range(25)), seed
        for _ in range(2):
            repository(FakeStore(server)).collect()
        assert repository(FakeStore(server)).verify().unreferenced == 0


def test_a_page_that_is_collected_before_its_head_lands_is_written_anew():
    """The collector is more aggressive than ours: it heeds no generations."""
    simulation = Simulation()
    watch = Watch(simulation.server)
    writer = run_of(FakeStore(simulation.server), 8)

    def save(store: FakeStore) -> object:
        writer.repository.shelf.files.store = store
        return writer.save(state(w=8), {"step": 8}, step=8)

    simulation.start("writer", save)
    simulation.advance("writer", "put_if_match")  # has written its page
    assert any("/pages/" in key for key in simulation.server.objects)
    assert collect(FakeStore(simulation.server)).startswith("deleted")
    simulation.server.objects = {k: v for k, v in simulation.server.objects.items() if "/pages/" not in k}
    simulation.advance("writer")
    opened = repository(FakeStore(simulation.server))
    assert steps(opened.commits("run")) == list(range(9))
    assert watch.losses == []


def test_a_head_of_a_million_commits_takes_less_than_400_kib(monkeypatch):
    monkeypatch.undo()
    one = begun(FakeStore()).head.commits[0]
    many = tuple(replace(one, id=f"{n:032x}", metrics={"loss": n / 7, "mae": 1 / 3}) for n in range(512))
    head = begun(FakeStore()).head
    names = tuple((f"00000000-{n:032x}", 150_000) for n in range(10**6 // (512 - 128)))
    assert len(replace(head, commits=many, pages=names).to_bytes()) < 400 * 2**10
    assert isinstance(one, Commit)


def test_a_commit_that_the_head_has_is_restored_without_its_pages():
    store = FakeStore()
    writer = run_of(store, 30)
    newest, oldest = writer.head.commits[-1], repository(store).commits("run")[0]
    opened = repository(store)
    store.requests.clear()
    opened.restore("run", newest.id)
    assert not [it for it in store.requests if "/pages/" in it.key]
    assert opened.restore("run", oldest.id).commit == oldest


def test_a_state_saved_again_does_not_stand_twice_in_a_page_that_is_packed_anew():
    store = FakeStore()
    writer = run_of(store, 9)  # the first page has the oldest ones
    again = writer.save(state(w=1), {"step": 1}, step=1)
    for step in range(9, 24):
        writer.save(state(w=step % 4), {"step": step}, step=step)
    opened = repository(store)
    whole = pages.read_whole(opened.shelf, "run")
    assert [[it.id for it in page.commits].count(again.id) for page in whole.pages][:2] == [1, 1]
    newest = [it for it in whole.entries if it.id == again.id][-1]
    opened.drop("run", [it.id for it in opened.commits("run") if it.step not in (1, 23)])  # joins all pages
    assert steps(opened.commits("run")) == [1, 23]
    assert opened.restore("run", again.id).commit == newest
    for _ in range(2):
        opened.collect()
    report = opened.verify(deep=True)
    assert (report.findings, report.unreferenced) == ([], 0)


def test_passing_over_a_damaged_commit_of_the_head_reads_no_page():
    store = FakeStore()
    run_of(store, 30)
    opened = repository(store)
    for commit in opened.head("run").commits[-2:]:
        del store.server.objects[f"{PREFIX}runs/run/manifests/{commit.manifest}"]
    store.requests.clear()
    assert opened.restore("run").commit.step == 27
    assert [it for it in store.requests if "/pages/" in it.key] == []
