"""Ranks that store a state together store what one would, and what one of them cannot do rank 0 does."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from storage.checkpoints import BackgroundWriter, HelperFailed, RankGone, Repository, Spool, Tensor
from storage.checkpoints.background import backlog
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.save import borrowing
from storage.checkpoints.together import leader
from storage.objects import AccessDenied, Unreachable

from .adam import states
from .collector import collect
from .crew import Crew, State
from .fake_store import FakeStore, Fault, Request
from .states import repository

PARTS = 6


@pytest.fixture(autouse=True)
def _small_states_are_shared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "WORTH_SHARING", 1)


@pytest.fixture
def hire() -> Iterator[Callable[..., Crew]]:
    """Makes a crew, and dismisses it at the end."""
    crews: list[Crew] = []

    def make(store: FakeStore, ranks: int, **options: object) -> Crew:
        crews.append(Crew(store, ranks, **options))  # type: ignore[arg-type]
        return crews[-1]

    yield make
    for crew in crews:
        crew.end()


@cache
def trail(count: int) -> list[tuple[State, tuple[AdamHint, ...]]]:
    """Steps of Adam on `PARTS` matrices."""
    found: list[tuple[State, tuple[AdamHint, ...]]] = []
    for step in zip(*(states(count, rows=32, seed=part) for part in range(PARTS)), strict=True):
        tensors = {
            f"{part:02}/{name}": it for part, (them, _) in enumerate(step) for name, it in them.items()
        }
        found.append((tensors, tuple(_renamed(hint, part) for part, (_, (hint,)) in enumerate(step))))
    return found


def _renamed(hint: AdamHint, part: int) -> AdamHint:
    names = {it: f"{part:02}/{getattr(hint, it)}" for it in ("weight", "first_moment", "second_moment")}
    return replace(hint, **names)


def stored(repo: Repository) -> list[dict[str, tuple[object, ...]]]:
    """What each commit's manifest says of each chunk, but for the place."""
    manifests = [repo.shelf.read_manifest("run", commit) for commit in repo.commits("run")]
    return [
        {chunk: (at.size, at.codec, at.bases, at.scalars) for chunk, at in manifest.locations.items()}
        for manifest in manifests
    ]


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_store_equal_shares_of_what_one_would_store_to_the_bit(hire, ranks):
    """Before and after a take-over, bases and predictions included."""
    alone, together = FakeStore(), FakeStore()
    for store, size in ((alone, 1), (together, ranks)):
        crews = [hire(FakeStore(store.server), size)]
        for step, (state, hints) in enumerate(trail(7)):
            if step == 4:
                crews.append(hire(FakeStore(store.server), size, resume=True))
            crews[-1].save(step, state, hints)
        for crew in crews:
            packs = [crew.packs_of(rank) for rank in range(size)]
            sent = [sum(len(store.server.objects[key]) for key in keys) for keys in packs]
            assert max(sent) < 1.1 * min(sent)
            assert crew.notes == []
    repo = repository(together)
    assert stored(repo) == stored(repository(alone))
    assert "adam" in {entry[1] for commit in stored(repo) for entry in commit.values()}
    for commit, (state, _) in zip(repo.commits("run"), trail(7), strict=True):
        assert repo.restore("run", commit.id).tensors == state


def test_another_number_of_ranks_stores_no_tensor_again(hire):
    store = FakeStore()
    (state, hints), (later, later_hints) = trail(2)
    hire(store, 3).save(0, state, hints)
    for attempt, ranks in enumerate((1, 2, 3)):
        crew = hire(store, ranks, resume=True, attempt=f"a{2 + attempt}")
        before = [len(crew.packs_of(rank)) for rank in range(ranks)]
        commit = crew.writer.save(state, {}, step=1 + attempt)
        assert commit.new_bytes == commit.manifest_bytes
        assert [len(crew.packs_of(rank)) for rank in range(ranks)] == before
    crew.save(9, later, later_hints)
    assert all(crew.packs_of(rank) for rank in range(3))


def test_the_first_save_of_another_run_borrows_what_this_one_holds(hire, monkeypatch):
    monkeypatch.setattr(borrowing, "LEAST", 0)
    store = FakeStore()
    (state, hints), (later, _) = trail(2)
    hire(store, 3).save(0, state, hints)
    put = len(packs_in(store))
    other = hire(store, 3, run="other")
    same = other.save(0, state, hints)
    assert len(packs_in(store)) == put
    half = {name: later[name] if name < "03" else it for name, it in state.items()}
    another = hire(store, 3, run="another")
    mixed = another.save(0, half, hints)
    assert all(another.packs_of(rank) for rank in (1, 2))
    repo = repository(store)
    assert repo.restore("other", same).tensors == state
    assert repo.restore("another", mixed).tensors == half
    new = sum(it.nbytes for name, it in half.items() if name < "03")
    assert repo.commits("another")[0].new_bytes < 1.1 * new


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_the_last_save_of_a_process_is_shared_too(hire, ranks):
    """`save_now`, while a save is under way and another one waits."""
    store = FakeStore()
    crew = hire(store, ranks)
    states_ = trail(4)
    with BackgroundWriter(crew.writer, niceness=0) as saver:
        for step, (state, hints) in enumerate(states_[:3]):
            crew.hold(step, state, hints)
            saver.save(state, {}, step=step, hints=hints)
        state, hints = states_[3]
        crew.hold(3, state, hints)
        last = saver.save_now(state, {}, step=3, deadline_s=600)
    assert last.commit is not None
    assert repository(store).restore("run", last.commit.id).tensors == state
    manifest = repository(store).shelf.read_manifest("run", last.commit)
    for rank in range(ranks):
        assert {it.rpartition("/")[2] for it in crew.packs_of(rank)} & manifest.packs.keys()


def packs_in(store: FakeStore) -> set[str]:
    return {key for key in store.server.objects if "/packs/" in key}


def test_a_save_that_adds_little_is_left_to_rank_0(hire, monkeypatch):
    store = FakeStore()
    crew = hire(store, 2)
    ((state, _), (later, _)) = trail(2)
    crew.save(0, state)
    shared = len(crew.packs_of(1))
    assert shared > 0
    monkeypatch.setattr(leader, "WORTH_SHARING", later["00/w"].nbytes + 1)
    crew.save(1, {**state, "00/w": later["00/w"]})
    assert len(crew.packs_of(1)) == shared


def test_a_mistake_that_one_rank_meets_fails_the_save(hire):
    store = FakeStore()
    crew = hire(store, 3)

    def refuse(request: Request) -> None:
        if request.verb == "put":
            raise AccessDenied("you may not write there")

    crew.stores[1].fault = refuse
    (state, hints), *_ = trail(1)
    crew.hold(0, state)
    with BackgroundWriter(crew.writer, niceness=0) as saver:
        future = saver.save(state, {}, step=0)
        with pytest.raises(HelperFailed, match="rank 1 could not store its share: you may not write there"):
            saver.wait(600)
        assert isinstance(future.exception(), HelperFailed)
        crew.stores[1].fault = lambda request: None
        crew.hold(1, state, hints)
        saver.save(state, {}, step=1)
    assert [commit.step for commit in repository(store).commits("run")] == [1]


def test_what_a_rank_fails_of_by_a_fault_of_ours_is_told_with_its_traceback(hire):
    crew = hire(FakeStore(), 2)

    def broken(request: Request) -> None:
        raise ZeroDivisionError("a fault")

    crew.stores[1].fault = broken
    with pytest.raises(RuntimeError, match=r"(?s)rank 1 could not.*Traceback.*ZeroDivisionError: a fault"):
        crew.save(0, trail(1)[0][0])


def test_what_a_rank_cannot_bring_to_the_bucket_rank_0_does(hire):
    store = FakeStore()
    crew = hire(store, 3)

    def out(request: Request) -> None:
        raise Unreachable("no answer")

    crew.stores[2].fault = out
    state, _ = trail(1)[0]
    saved = crew.save(0, state)
    assert repository(store).restore("run", saved).tensors == state
    assert crew.notes[0] == "rank 2 cannot reach the bucket, so rank 0 stores its share: no answer"
    assert len(crew.packs_of(1)) > 0


@pytest.mark.parametrize("at_save", [0, 2])
def test_a_rank_that_dies_in_a_save_costs_neither_this_one_nor_the_next(hire, at_save):
    store = FakeStore()
    crew = hire(store, 3)
    seen = []

    def die(rank: int, message: bytes) -> None:
        seen.append(rank)
        if seen.count(1) == at_save + 1 and rank == 1:
            raise RankGone("killed")  # its packs are there, and nobody was told

    crew.wires.spoil = die
    ids = [crew.save(step, state, hints) for step, (state, hints) in enumerate(trail(5))]
    for commit, (state, _) in zip(ids, trail(5), strict=True):
        assert repository(store).restore("run", commit).tensors == state
    assert (seen.count(1), seen.count(2)) == (at_save + 1, 5)


def test_a_rank_whose_replica_differs_stores_no_other_bytes(hire):
    store = FakeStore()
    crew = hire(store, 2)
    state, _ = trail(1)[0]
    other = {name: Tensor.from_numpy(-it.to_numpy()) for name, it in state.items()}
    crew.others[0].hold({**other, "05/w": state["05/w"]}, step=0)
    saved = crew.writer.save(state, {}, step=0)
    assert repository(store).restore("run", saved.id).tensors == state
    (note,) = crew.notes
    assert note.endswith("chunks of step 0 in other ranks' place")
    assert len(crew.packs_of(1)) == 1


def test_packs_of_any_rank_that_a_collection_condemns_meanwhile_are_stored_again(hire):
    store = FakeStore()
    crew = hire(store, 3)
    crew.save(0, trail(1)[0][0])
    condemned: list[str] = []

    def between(request: Request) -> Fault | None:
        if "/manifests/" in request.key and request.verb == "put" and not condemned:
            condemned.extend(packs := {it for rank in (1, 2) for it in crew.packs_of(rank)[-1:]})
            assert len(packs) == 2
            store.fault = lambda request: None
            collect(FakeStore(store.server))  # deletes what no head names
            assert not packs & store.server.objects.keys()
        return None

    crew.writer.mark_damaged(())  # an edit of the head: the next save looks at collections
    store.fault = between
    state, hints = trail(2)[1]
    saved = crew.save(1, state, hints)
    assert len(condemned) == 2
    assert repository(store).restore("run", saved).tensors == state


def test_after_an_outage_saves_arrive_whether_or_not_helpers_still_hold_them(
    hire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backlog, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(backlog, "_LONGEST_WAIT_S", 0.002)
    store = FakeStore()
    crew = hire(store, 2, in_flight=1)
    states_ = trail(8)
    crew.save(0, *states_[0])
    store.fault = lambda request: Fault.NEVER_ARRIVED if "/packs/" in request.key else None
    spool = Spool(tmp_path, "run", 2**26)
    with BackgroundWriter(crew.writer, in_flight=1, niceness=0, spool=spool) as saver:
        for step, (state, hints) in enumerate(states_[1:], start=1):
            crew.hold(step, state, hints)
            saver.save(state, {}, step=step, hints=hints)
        store.fault = lambda request: None
        saver.wait(600)
    commits = repository(store).commits("run")
    assert [commit.step for commit in commits] == list(range(8))
    for commit, (state, _) in zip(commits, states_, strict=True):
        assert repository(store).restore("run", commit.id).tensors == state
