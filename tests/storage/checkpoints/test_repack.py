"""Repacking frees what dropped commits hold, changes no commit, and loses nothing beside trainers."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from storage.checkpoints import OuterKey, PackLists, Repository, Retention, RunWriter
from storage.checkpoints.collect import repack
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.collect.waste import WASTE_LIMIT, own_chunks
from storage.checkpoints.format import pages

from .adam import states
from .collector import PREFIX, Watch, collect
from .fake_store import Crash, FakeServer, FakeStore, Fault
from .simulation import Simulation
from .states import repository, state

NEW_CODECS = ("split", "split-by", "difference", "second-moment", "adam")
KEPT = Retention(last=3, every=10)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def repo(store: FakeStore) -> Repository:
    return repository(store)


def trained(repo: Repository, count: int, first: int = 0, writer: RunWriter | None = None) -> RunWriter:
    writer = writer or RunWriter.create(repo, "run", "a1")
    for step, (tensors, hints) in enumerate(islice(states(first + count), first, None), first):
        writer.save(tensors, {"step": step}, step=step, hints=hints)
    return writer


def two_collections(repo: Repository) -> None:
    for _ in range(2):
        repo.collect()


def check(repo: Repository, run: str = "run") -> None:
    """Every commit comes back bit for bit."""
    last = max(commit.step for commit in repo.commits(run))
    known = dict(enumerate(tensors for tensors, _ in states(last + 1)))
    for commit in repo.commits(run):
        assert repo.restore(run, commit.id).tensors == known[commit.step]


def dead_share(repo: Repository, run: str = "run") -> float:
    """Of the bytes of all packs that a run names: those that none of its commits needs."""
    manifests = [repo.shelf.read_manifest(run, commit) for commit in repo.commits(run)]
    packs = {pack: size for it in manifests for pack, size in it.packs.items()}
    needed = {(at.pack, at.offset): at.size for it in manifests for at in it.locations.values()}
    return 1 - sum(needed.values()) / sum(packs.values())


def test_what_dropped_commits_hold_goes_and_every_kept_one_comes_back(repo):
    trained(repo, 24)
    repo.retain("run", KEPT)
    two_collections(repo)
    kept = repo.commits("run")
    before = repo.statistics()
    result = repo.repack("run")
    two_collections(repo)
    after = repo.statistics()
    assert [it.step for it in kept] == [0, 10, 20, 21, 22, 23]
    assert after.stored_bytes < 0.8 * before.stored_bytes
    assert after.pack_bytes <= after.raw_bytes
    assert before.pack_bytes - after.pack_bytes == sum(result.emptied.values()) - result.stored_bytes + sum(
        it.manifest_bytes for it in result.rewritten
    )
    assert dead_share(repo) <= WASTE_LIMIT
    check(repo)
    assert repo.verify(deep=True).findings == []


def test_a_commit_keeps_its_id_and_all_that_was_said_of_it(repo):
    trained(repo, 12)
    repo.tag("run", "newest", "good")
    repo.pin("run", "newest", "me")
    repo.note("run", "newest", "words")
    repo.retain("run", KEPT)
    before = repo.commits("run")
    result = repo.repack("run")
    places = ("manifest", "manifest_bytes", "new_bytes")
    for old, new in zip(before, repo.commits("run"), strict=True):
        assert replace(old, **{name: getattr(new, name) for name in places}) == new
    assert {it.id for it in result.rewritten} == {
        old.id for old, new in zip(before, repo.commits("run"), strict=True) if old.manifest != new.manifest
    }
    for commit in repo.commits("run"):
        manifest = repo.shelf.read_manifest("run", commit)
        assert (manifest.created, manifest.attempt) == (commit.created, commit.attempt)


def test_a_second_repack_finds_nothing_to_do_and_writes_nothing(repo, store):
    trained(repo, 24)
    repo.retain("run", KEPT)
    repo.repack("run")
    store.requests.clear()
    assert repo.repack("run").rewritten == ()
    assert [it for it in store.requests if it.is_write() and "probe" not in it.key] == []


def test_a_dry_run_says_what_would_be_emptied_and_writes_nothing(repo, store):
    trained(repo, 24)
    repo.retain("run", KEPT)
    objects = dict(store.server.objects)
    told = repo.repack("run", dry_run=True)
    assert store.server.objects == objects
    done = repo.repack("run")
    assert (told.emptied, [it.id for it in told.rewritten]) == (
        done.emptied,
        [it.id for it in done.rewritten],
    )


def test_differences_that_rest_on_kept_commits_stay_where_they_are(repo):
    trained(repo, 24)
    repo.retain("run", KEPT)
    newest = repo.commits("run")[-1]
    old = repo.shelf.read_manifest("run", newest)
    repo.repack("run")
    new = repo.shelf.read_manifest("run", repo.commits("run")[-1])
    assert {chunk: new.locations[chunk] for chunk in own_chunks(old)} == {
        chunk: old.locations[chunk] for chunk in own_chunks(old)
    }


def test_a_restore_reads_no_more_than_three_times_the_state_afterwards(repo):
    trained(repo, 40)
    repo.retain("run", Retention(last=6, every=4))
    repo.repack("run")
    reads = [repo.restore("run", it.id) for it in repo.commits("run")]
    assert max(it.read_bytes / it.commit.raw_bytes for it in reads) <= 3


def test_manifests_of_other_runs_are_read_only_if_something_is_to_do_and_once_ever(repo, store, tmp_path):
    trained(repo, 12)
    RunWriter.create(repo, "alone", "b1").save(state(w=0), {}, step=0)

    def asked() -> int:
        found = len([it for it in store.requests if "/alone/manifests/" in it.key])
        store.requests.clear()
        return found

    with PackLists(tmp_path / "lists") as lists:
        asked()
        repo.repack("run", lists=lists)
        assert asked() == 0
        repo.retain("run", Retention(last=1))
        for expected in (1, 0):
            assert repo.repack("run", dry_run=True, lists=lists).rewritten
            assert asked() == expected


def test_a_trainer_goes_on_after_its_manifests_were_replaced_and_two_collections(repo, store):
    writer = trained(repo, 12)
    other = repository(FakeStore(store.server))
    other.retain("run", Retention(last=2))
    assert other.repack("run").rewritten
    for _ in range(2):
        assert collect(FakeStore(store.server)).startswith("deleted")
    trained(repo, 6, 12, writer)
    assert [it.step for it in repo.commits("run")] == [0, *range(10, 18)]
    two_collections(repo)
    check(repo)


def test_a_save_whose_bases_are_repacked_and_condemned_before_it_lands_stores_them_anew(monkeypatch):
    monkeypatch.setattr(_Collection, "is_old", lambda self, name: True)
    simulation = Simulation()
    watch = Watch(simulation.server)
    simulation.start("trainer", lambda store: trained(repository(store), 9))
    for _ in range(8):
        simulation.advance("trainer", "put_if_match", "/head")
        simulation.step("trainer")
    simulation.advance("trainer", "put_if_match", "/head")  # of step 8, whose bases are of step 7
    other = repository(FakeStore(simulation.server))
    other.retain("run", Retention(last=2))
    other.repack("run")
    simulation.start("collector", lambda store: repository(store).collect())
    simulation.advance("collector", "delete")
    simulation.advance("trainer")
    simulation.advance("collector")
    assert watch.losses == []
    check(other)
    assert repository(FakeStore(simulation.server)).commits("run")[-1].step == 8


def test_commits_on_pages_are_repacked_too(repo, monkeypatch):
    monkeypatch.setattr(pages, "HEAD_COMMITS", 3)
    monkeypatch.setattr(pages, "STAY", 1)
    monkeypatch.setattr(pages, "JUST_WRITTEN", 1)
    trained(repo, 24)
    repo.retain("run", KEPT)
    assert repo.head("run").pages
    paged = {it.id for it in repo.commits("run")} - {it.id for it in repo.head("run").commits}
    assert paged & {it.id for it in repo.repack("run").rewritten}
    two_collections(repo)
    assert dead_share(repo) <= WASTE_LIMIT
    check(repo)


def test_killed_before_or_after_any_request_it_loses_nothing_and_the_next_one_finishes():
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.ANSWER_LOST):
        for number in range(10_000):
            server, reached = FakeServer(), False
            watch = Watch(server)
            repo = repository(FakeStore(server))
            trained(repo, 6)
            repo.retain("run", Retention(last=2))
            writes: Iterator[int] = iter(range(10_000))

            def at(request, fault=fault, number=number, writes=writes):
                nonlocal reached
                wanted = request.is_write() if fault is not Fault.ANSWER_LOST else "if_match" in request.verb
                if wanted and "probe" not in request.key and next(writes) == number:
                    reached = True
                    return fault
                return None

            with contextlib.suppress(Crash):
                repository(FakeStore(server, at)).repack("run")
            two_collections(repo)
            repo.repack("run")
            two_collections(repo)
            assert watch.losses == []
            assert dead_share(repo) <= WASTE_LIMIT
            report = repo.verify(deep=True)
            assert (report.findings, report.unreferenced) == ([], 0)
            if not reached:
                break
        assert number > 1


def without_looking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(repack, "_condemned", lambda *args: set())


def test_new_packs_that_are_condemned_before_they_are_named_are_stored_again(monkeypatch):
    for broken in (False, True):
        simulation = Simulation()
        watch = Watch(simulation.server)
        repo = repository(FakeStore(simulation.server))
        trained(repo, 6)
        repo.retain("run", Retention(last=1))
        if broken:
            without_looking(monkeypatch)
        simulation.start("repacker", lambda store: repository(store).repack("run"))
        simulation.advance("repacker", "put", "/manifests/")
        simulation.step("repacker")
        simulation.start("collector", collect)  # heeds no generations
        simulation.advance("collector", "delete")
        simulation.advance("repacker")
        simulation.advance("collector")
        assert bool(watch.losses) == broken, watch.losses
        if not broken:
            check(repo)


def test_a_commit_that_is_dropped_meanwhile_stays_dropped():
    simulation = Simulation()
    repo = repository(FakeStore(simulation.server))
    trained(repo, 6)
    repo.retain("run", Retention(last=2))
    simulation.start("repacker", lambda store: repository(store).repack("run"))
    simulation.advance("repacker", "put_if_match", "/head")
    first, *others = repo.commits("run")[1:]
    repo.drop("run", [first.id])
    result = simulation.advance("repacker")
    assert [it.id for it in repo.commits("run")[1:]] == [it.id for it in others]
    assert first.id not in {it.id for it in result.rewritten}
    two_collections(repo)
    check(repo)


def test_a_restore_beside_a_repack_and_two_collections_reads_the_commit_where_it_lies_now():
    simulation = Simulation()
    repo = repository(FakeStore(simulation.server))
    trained(repo, 6)
    repo.retain("run", Retention(last=1))
    simulation.start("reader", lambda store: Repository.open(store, PREFIX).restore("run"))
    simulation.advance("reader", "get_range", "/manifests/")
    assert repo.repack("run").rewritten
    for _ in range(2):
        collect(FakeStore(simulation.server))
    restored = simulation.advance("reader")
    assert (restored.commit.step, restored.skipped) == (5, ())


@pytest.mark.parametrize("kind", ["encrypted", "of format 1"])
def test_other_repositories_are_repacked_in_their_own_form(kind):
    key = OuterKey(bytes(32), is_passphrase=False) if kind == "encrypted" else None
    repo = Repository.create(FakeStore(), PREFIX, key=key, pause=lambda seconds: None)
    if kind == "of format 1":
        repo.shelf.format = 1
        begun_large(repo)
        repo.drop("run", [repo.commits("run")[0].id])
    else:
        trained(repo, 12)
        repo.retain("run", Retention(last=2))
    assert repo.repack("run").rewritten
    two_collections(repo)
    assert repo.verify(deep=True).findings == []
    manifests = [repo.shelf.read_manifest("run", commit) for commit in repo.commits("run")]
    codecs = {at.codec for it in manifests for at in it.locations.values()}
    assert codecs & set(NEW_CODECS) if kind == "encrypted" else not codecs & set(NEW_CODECS)


def test_dead_bytes_beside_live_ones_go(repo):
    writer = begun_large(repo)
    repo.drop("run", [repo.commits("run")[0].id])
    writer.save(state(w=0, x=1), {}, step=2)
    repo.drop("run", [it.id for it in repo.commits("run")[:-1]])
    assert dead_share(repo) > WASTE_LIMIT
    repo.repack("run")
    assert dead_share(repo) <= WASTE_LIMIT
    assert repo.restore("run").tensors == state(w=0, x=1)


def begun_large(repo: Repository) -> RunWriter:
    writer = RunWriter.create(repo, "run", "a1")
    writer.save(state(w=0, m=0, v=0), {}, step=0)
    writer.save(state(w=0, m=0), {}, step=1)
    return writer


def test_the_first_save_after_a_repack_rests_on_what_was_moved_and_names_no_emptied_pack():
    """Whether or not the emptied packs are condemned by then."""
    for collections in (0, 2):
        store = FakeStore()
        repo = repository(store)
        writer = trained(repo, 12)
        other = repository(FakeStore(store.server))
        other.retain("run", Retention(last=2))
        emptied = other.repack("run").emptied
        assert emptied
        for _ in range(collections):
            other.collect()
        trained(repo, 1, 12, writer)
        new = repo.commits("run")[-1]
        manifest = repo.shelf.read_manifest("run", new)
        assert not manifest.packs.keys() & emptied
        assert set(manifest.locations) - set(own_chunks(manifest)), "it is no keyframe"
        assert new.new_bytes < 0.5 * new.raw_bytes
        two_collections(repo)
        check(repo)
        assert repo.verify(deep=True).unreferenced == 0


def test_after_an_edit_of_its_own_a_trainer_still_finds_what_was_moved(repo, store):
    writer = trained(repo, 12)
    other = repository(FakeStore(store.server))
    other.retain("run", Retention(last=2))
    emptied = other.repack("run").emptied
    writer.mark_damaged([])
    store.requests.clear()
    trained(repo, 2, 12, writer)
    assert len([it for it in store.requests if it.verb == "get_range"]) == 1  # the manifest, once
    manifests = [repo.shelf.read_manifest("run", it) for it in repo.commits("run")[-2:]]
    assert not {pack for it in manifests for pack in it.packs} & emptied.keys()
    assert all(set(it.locations) - set(own_chunks(it)) for it in manifests)
    check(repo)


def test_what_is_whole_is_not_pointed_into_a_pack_that_a_damaged_commit_names(repo, store):
    """The pack has rotted, and so far only the newest of the commits that need it was found out."""
    writer = RunWriter.create(repo, "run", "a1")
    writer.save(state(w=0, d=1), {}, step=1)
    writer.save(state(w=1, d=1), {}, step=2)
    damaged = writer.save(state(w=0, d=3), {}, step=3)
    (rotten,) = repo.shelf.read_manifest("run", writer.head.commits[0]).packs
    key = f"{PREFIX}packs/{rotten}"
    store.server.objects[key] = bytes(len(store.server.objects[key]))
    writer.mark_damaged([damaged.id])
    writer.save(state(w=0, d=4), {}, step=4)
    whole = writer.save(state(w=0, d=5), {}, step=5)
    repo.drop("run", [it.id for it in repo.commits("run") if it.step == 4])
    (moved,) = repo.repack("run").rewritten
    assert moved.id == whole.id
    two_collections(repo)
    assert repo.restore("run", whole.id).tensors == state(w=0, d=5)
