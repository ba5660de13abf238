"""Repacking packs that several runs name: judged by what all of them need, emptied for all, moved once."""

import contextlib
from collections import defaultdict

import pytest

from storage.checkpoints import Repository, Retention, RunWriter
from storage.checkpoints.collect import repack
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.collect.waste import WASTE_LIMIT, own_chunks
from storage.checkpoints.save import borrowing

from .collector import Watch, collect
from .fake_store import Crash, FakeServer, FakeStore, Fault
from .simulation import Simulation
from .states import repository, state
from .test_repack import check, trained, two_collections


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def repo(store: FakeStore) -> Repository:
    return repository(store)


def forked(repo: Repository, count: int = 7, own: int = 0) -> RunWriter:
    """`run`, of which only the first and the newest commit are left, and a fork of the newest."""
    trained(repo, count)
    child = repo.fork("run", "newest", "child", "b1")
    trained(repo, own, count, child)
    repo.retain("run", Retention(last=1))
    return child


def manifests(repo: Repository):
    return [repo.shelf.read_manifest(run, it) for run in repo.runs() for it in repo.commits(run)]


def dead_shares(repo: Repository) -> list[float]:
    """Of each pack that any run names: bytes that no commit of any run needs ÷ all."""
    needed: dict[str, dict[int, int]] = defaultdict(dict)
    for manifest in manifests(repo):
        for at in manifest.locations.values():
            needed[at.pack][at.offset] = at.size
    sizes = {pack: size for manifest in manifests(repo) for pack, size in manifest.packs.items()}
    return [1 - sum(needed[pack].values()) / size for pack, size in sizes.items()]


def stored_twice(repo: Repository) -> list[str]:
    """Chunks of commits' tensors for which manifests name more than one place."""
    places: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for manifest in manifests(repo):
        for chunk in own_chunks(manifest):
            at = manifest.locations[chunk]
            places[chunk].add((at.pack, at.offset))
    return [chunk for chunk, those in places.items() if len(those) > 1]


def is_whole(repo: Repository) -> None:
    for run in repo.runs():
        check(repo, run)
    report = repo.verify(deep=True)
    assert (report.findings, report.unreferenced) == ([], 0)


@pytest.mark.parametrize("asked", ["run", "child"])
def test_a_pack_that_a_fork_needs_too_is_emptied_for_both_and_what_moves_is_stored_once(repo, asked):
    forked(repo)
    before = repo.statistics().pack_bytes
    result = repo.repack(asked)
    other = "child" if asked == "run" else "run"
    assert len(result.rewritten) == len(result.others[other]) == 1
    assert result.others[other][0].new_bytes == result.others[other][0].manifest_bytes
    two_collections(repo)
    assert repo.statistics().pack_bytes < 0.8 * before
    assert stored_twice(repo) == []
    is_whole(repo)
    assert [repo.repack(run).emptied for run in repo.runs()] == [{}, {}]


def test_a_run_that_began_with_the_same_tensors_changes_over_too(repo, monkeypatch):
    monkeypatch.setattr(borrowing, "LEAST", 0)
    trained(repo, 7)
    newest = repo.restore("run")
    RunWriter.create(repo, "alone", "b1").save(newest.tensors, {}, step=0)
    repo.retain("run", Retention(last=1))
    result = repo.repack("run")
    assert [it.step for it in result.others["alone"]] == [0]
    two_collections(repo)
    assert max(dead_shares(repo)) <= WASTE_LIMIT
    assert stored_twice(repo) == []
    assert repo.restore("alone").tensors == newest.tensors
    assert repo.verify(deep=True).findings == []


def test_what_only_another_run_needs_is_not_dead(repo):
    writer = RunWriter.create(repo, "run", "a1")
    writer.save(state(w=0, m=0, v=0), {}, step=0)
    repo.fork("run", "newest", "child", "b1")
    writer.save(state(w=0), {}, step=1)
    repo.drop("run", [repo.commits("run")[0].id])
    assert repo.repack("run").emptied == {}
    repo.drop("child", [it.id for it in repo.commits("child")])
    assert len(repo.repack("run").emptied) == 1


def test_a_pack_that_a_damaged_commit_of_another_run_names_stays(repo):
    child = forked(repo)
    child.mark_damaged([it.id for it in repo.commits("child")])
    assert repo.repack("run").emptied == {}


def test_only_commits_that_share_are_rewritten_and_dry_runs_tell_them(repo):
    forked(repo, own=3)
    RunWriter.create(repo, "other", "c1").save(state(w=7), {}, step=0)
    told = repo.repack("run", dry_run=True)
    done = repo.repack("run")
    assert told.emptied == done.emptied
    assert {run: [it.id for it in those] for run, those in told.others.items()} == {
        run: [it.id for it in those] for run, those in done.others.items()
    }
    assert done.others.keys() == {"child"}
    two_collections(repo)
    assert max(dead_shares(repo)) <= WASTE_LIMIT
    for run in ("run", "child"):
        check(repo, run)


def test_killed_anywhere_it_loses_nothing_and_the_next_one_lets_the_other_run_name_what_has_moved():
    for number in range(10_000):
        server, written = FakeServer(), []
        watch = Watch(server)
        repo = repository(FakeStore(server))
        forked(repo, 6, own=1)

        def at(request, number=number, written=written):
            if request.is_write() and "probe" not in request.key:
                written.append(request)
                return Fault.CRASH_BEFORE if len(written) == number + 1 else None
            return None

        with contextlib.suppress(Crash):
            repository(FakeStore(server, at)).repack("run")
        two_collections(repo)
        for run in repo.runs():
            repo.repack(run)
        two_collections(repo)
        assert watch.losses == []
        assert max(dead_shares(repo)) <= WASTE_LIMIT
        assert stored_twice(repo) == [], f"killed before write {number}"
        is_whole(repo)
        if len(written) <= number:
            break
    assert number >= 5  # a pack, and of each run a manifest and a head, at least


def test_a_trainer_of_a_fork_goes_on_after_its_parents_repack_and_two_collections(repo, store):
    child = forked(repo, own=2)
    other = repository(FakeStore(store.server))
    assert other.repack("run").others["child"]
    for _ in range(2):
        assert collect(FakeStore(store.server)).startswith("deleted")
    trained(repo, 3, 9, child)
    two_collections(repo)
    is_whole(repo)


def test_a_fork_that_begins_meanwhile_is_whole_after_two_collections(monkeypatch):
    monkeypatch.setattr(_Collection, "is_old", lambda self, name: True)
    simulation = Simulation()
    watch = Watch(simulation.server)
    repo = repository(FakeStore(simulation.server))
    trained(repo, 6)
    repo.retain("run", Retention(last=1))
    simulation.start("fork", lambda store: repository(store).fork("run", "newest", "child", "b1"))
    simulation.advance("fork", "put", "/child/manifests")  # has read where the parent's bytes lie
    assert repo.repack("run").rewritten
    two_collections(repo)
    simulation.advance("fork")
    assert watch.losses == []
    two_collections(repo)
    is_whole(repo)


@pytest.mark.parametrize("rule", ["kept", "left out"])
def test_what_was_condemned_before_the_other_run_came_to_name_it_is_stored_again(rule, monkeypatch):
    simulation = Simulation()
    watch = Watch(simulation.server)
    repo = repository(FakeStore(simulation.server))
    forked(repo, 6)
    if rule == "left out":
        monkeypatch.setattr(repack, "_condemned", lambda *args: set())
    simulation.start("repacker", lambda store: repository(store).repack("run"))
    simulation.advance("repacker", "put", "/child/manifests/")
    repo.drop("run", [it.id for it in repo.commits("run")])  # nothing names the new pack now
    simulation.start("collector", collect)  # heeds no generations
    simulation.advance("collector", "delete")
    simulation.advance("repacker")
    simulation.advance("collector")
    assert bool(watch.losses) == (rule == "left out"), watch.losses
    if rule == "kept":
        check(repo, "child")


def test_a_commit_of_the_other_run_that_is_dropped_meanwhile_stays_dropped():
    simulation = Simulation()
    repo = repository(FakeStore(simulation.server))
    forked(repo, 6)
    simulation.start("repacker", lambda store: repository(store).repack("run"))
    simulation.advance("repacker", "put", "/child/manifests/")
    repo.drop("child", [it.id for it in repo.commits("child")])
    assert simulation.advance("repacker").others == {}
    assert repo.commits("child") == ()
    two_collections(repo)
    check(repo)
