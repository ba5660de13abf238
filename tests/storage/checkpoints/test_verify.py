"""Verification finds what is damaged, says which commits are, and is not disturbed by live work."""

import threading

import pytest

from storage.checkpoints import RunMissing, RunWriter
from storage.checkpoints.format import canonical, pages

from .collector import PREFIX
from .fake_store import FakeStore
from .simulation import Simulation
from .states import begun, repository, state


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def writer(store) -> RunWriter:
    writer = begun(store)
    writer.save(state(w=1, m=0), {}, step=1)
    writer.save(state(w=2, m=0), {}, step=2)
    repository(store).fork("run", "newest", "child", "b1")
    return writer


def key_of_pack(store: FakeStore, step: int) -> str:
    """Of the pack that only this commit and its forks need."""
    opened = repository(store)
    packs = [set(opened.shelf.read_manifest("run", it).packs) for it in opened.commits("run")]
    (name,) = packs[step].difference(*packs[:step])
    return f"{PREFIX}packs/{name}"


@pytest.mark.parametrize("deep", [False, True])
def test_an_intact_repository_is_intact_and_nothing_is_written(store, writer, deep):
    before = dict(store.server.objects)
    told = []
    report = repository(store).verify(deep=deep, progress=lambda what, done, total: told.append(what))
    assert report.intact
    assert (report.runs, report.commits, report.unreferenced, report.collections) == (2, 4, 0, 0)
    assert report.chunks == (4 if deep else 0)  # w 0 1 2 and m, each once
    assert store.server.objects == before
    assert set(told) == {"run run", "run child"}


def test_manifests_are_read_side_by_side(store, writer):
    together = threading.Barrier(3, timeout=300)  # breaks, if they come one by one

    def meet(request):
        if "runs/run/manifests/" in request.key:
            together.wait()

    store.fault = meet
    assert repository(store).verify("run").commits == 3


@pytest.mark.parametrize("small", [2**20, 0])  # 0: no manifest is read ahead
def test_a_missing_and_a_short_pack_are_found_with_all_commits_they_affect(store, writer, small, monkeypatch):
    monkeypatch.setattr("storage.checkpoints.damage.verify._SMALL", small)
    del store.server.objects[key_of_pack(store, 2)]
    store.server.objects[key_of_pack(store, 1)] += b"x"
    report = repository(store).verify()
    assert not report.intact
    assert sorted((it.run, it.step) for it in report.findings) == [("child", 2), ("run", 1), ("run", 2)]
    assert repository(store).verify("child").found == 1


def test_a_flipped_bit_is_found_only_by_reading_and_names_the_tensor(store, writer):
    key = key_of_pack(store, 2)
    data = bytearray(store.server.objects[key])
    data[len(data) // 2] ^= 1
    store.server.objects[key] = bytes(data)
    assert repository(store).verify().intact
    report = repository(store).verify(deep=True)
    assert sorted((it.run, it.step) for it in report.findings) == [("child", 2), ("run", 2)]
    assert all("tensor 'w'" in it.what for it in report.findings)


def test_heads_and_manifests_and_lists_that_cannot_be_read_are_found(store, writer):
    opened = repository(store)
    store.server.objects[PREFIX + "collections/00000001"] = canonical.dumps({"condemned": []})
    commit = opened.commits("child")[0]
    key = f"{PREFIX}runs/child/manifests/{commit.manifest}"
    store.server.objects[key] = b" " + store.server.objects[key]
    store.server.objects[PREFIX + "runs/run/head"] = b"[]"
    store.server.objects[PREFIX + "runs/lost/manifests/00000000-" + "a" * 32] = b"{}"
    store.server.objects[PREFIX + "collections/00000003"] = canonical.dumps({"condemned": ["runs/run/head"]})
    store.server.objects[PREFIX + "packs/readme"] = b""
    report = opened.verify()
    assert [(it.run, it.step) for it in report.findings] == [
        ("child", 2),
        ("run", None),
        *[("run", step) for step in range(3)],
        ("lost", None),
        ("lost", None),
        ("", None),
    ]
    assert "1 of the lists of 3 collections are missing" in report.remarks[0]
    assert "runs/run/head" in report.findings[-1].what
    assert report.strangers == ["packs/readme"]


def test_commits_that_are_marked_are_no_findings(store, writer):
    del store.server.objects[key_of_pack(store, 2)]
    RunWriter.take_over(writer.repository, "run", "a2")
    report = repository(store).verify("run")
    assert report.intact
    assert report.marked == 1


def test_garbage_is_counted(store, writer):
    repository(store).drop("run", [repository(store).commits("run")[1].id])
    report = repository(store).verify()
    assert (report.unreferenced, report.intact) == (2, True)
    assert report.unreferenced_bytes > 1000


def test_a_run_that_is_not_there_is_said_so(store, writer):
    with pytest.raises(RunMissing):
        repository(store).verify("another")


def test_saves_drops_and_collections_meanwhile_are_no_damage():
    for seed in range(20):
        simulation = Simulation()
        writer = begun(FakeStore(simulation.server))
        for step in (1, 2, 3):
            writer.save(state(w=step, m=step), {}, step=step)

        def work(store: FakeStore, writer=writer) -> None:
            writer.repository.shelf.files.store = store
            for step in (4, 5):
                writer.save(state(w=step), {}, step=step)
            opened = repository(store)
            opened.drop("run", [it.id for it in opened.commits("run")[1:4]])
            opened.collect()
            opened.collect()

        simulation.start("work", work)
        simulation.start("check", lambda store: repository(store).verify(deep=True))
        report = simulation.shuffle(seed)["check"]
        assert report.findings == [], seed


@pytest.mark.parametrize("count", [10, 40])
def test_many_commits_that_share_a_lost_pack_cost_a_request_each(count, store, monkeypatch):
    """Not a reading of the whole head for each of them."""
    monkeypatch.setattr(pages, "HEAD_COMMITS", 4)
    monkeypatch.setattr(pages, "STAY", 2)
    monkeypatch.setattr(pages, "JUST_WRITTEN", 1)
    writer = begun(store)
    for step in range(1, count):
        writer.save(state(w=0, m=0), {"step": step}, step=step)  # all in the pack of step 0
    head = writer.head
    del store.server.objects[key_of_pack(store, 0)]
    opened = repository(store)
    store.requests.clear()
    report = opened.verify()
    assert {it.step for it in report.findings} == set(range(count))
    listings, sizes, heads = 3, 1, 3
    assert len(store.requests) == listings + sizes + heads + 2 * len(head.pages) + count


def test_a_lost_head_is_told_with_its_remedy_and_every_checkpoint_it_affects(store, writer):
    del store.server.objects[PREFIX + "runs/run/head"]
    for report in (repository(store).verify("run"), repository(store).verify()):
        first, *others = (it for it in report.findings if it.run == "run")
        assert "`carousel checkpoints repair run`" in first.what
        assert [it.commit for it in others] == [it.id for it in writer.head.commits]
        assert report.unreferenced == 0
