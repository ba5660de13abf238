"""Which commits a policy keeps (a pure function), and how it is applied to a run."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.checkpoints import Commit, CommitMissing, CommitPinned, InvalidName, Retention, RunWriter

from .collector import PREFIX, Watch
from .fake_store import FakeServer, FakeStore, Fault, at
from .simulation import Simulation
from .states import begun, repository, state


def commit(step: int, number: int | None = None, **fields) -> Commit:
    return Commit(
        id=f"{step if number is None else number:032x}",
        attempt="a1",
        step=step,
        manifest=f"00000000-{step if number is None else number:032x}",
        manifest_bytes=1,
        raw_bytes=1,
        new_bytes=1,
        created="",
        **fields,
    )


def steps(commits) -> list[int]:
    return [it.step for it in commits]


def test_the_last_the_first_and_every_thousandth_stay():
    policy = Retention(last=3, every=1000)
    commits = [commit(step) for step in range(0, 5001, 100)]
    assert steps(policy.kept(commits)) == [0, 1000, 2000, 3000, 4000, 4800, 4900, 5000]


def test_every_keeps_the_first_of_a_stretch_where_steps_do_not_fit():
    commits = [commit(step) for step in range(0, 3000, 300)]
    assert steps(Retention(last=1, every=1000).kept(commits)) == [0, 1200, 2100, 2700]


def test_the_best_stay_and_nan_is_nobodys_best():
    losses = [5.0, math.nan, 1.0, 3.0, 2.0, math.inf, 4.0]
    commits = [commit(step, metrics={"loss": loss}) for step, loss in enumerate(losses)]
    assert steps(Retention(last=1, best=2, metric="loss", first=False).kept(commits)) == [2, 4, 6]
    scored = Retention(last=1, best=1, metric="loss", higher_is_better=True, first=False)
    assert steps(scored.kept(commits[:5])) == [0, 4]


def test_pinned_and_tagged_commits_stay_and_a_tag_means_its_newest():
    commits = [
        commit(0),
        commit(1, pins=("deployment",)),
        commit(2, tags=("best",)),
        commit(3, tags=("best", "paper")),
        commit(4),
        commit(5),
    ]
    assert steps(Retention(last=1, first=False).kept(commits)) == [1, 3, 5]


def test_damaged_commits_count_for_nothing_but_all_damaged_all_stay():
    commits = [commit(step, damaged=step > 2) for step in range(5)]
    assert steps(Retention(last=2, first=False).kept(commits)) == [1, 2]
    damaged = [commit(step, damaged=True) for step in range(5)]
    assert Retention(last=1).kept(damaged) == tuple(damaged)


@pytest.mark.parametrize(
    "wrong", [{"last": 0}, {"every": 0}, {"best": -1}, {"best": 1}, {"metric": "loss"}], ids=str
)
def test_policies_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="Retention"):
        Retention(**wrong)


runs = st.lists(
    st.builds(
        dict,
        step=st.integers(0, 40),
        metrics=st.just({}) | st.builds(dict, loss=st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf])),
        tags=st.sets(st.sampled_from(["best", "x"])).map(tuple),
        pins=st.sampled_from([(), (), (), ("me",)]),
        damaged=st.sampled_from([False, False, False, True]),
    ),
    max_size=20,
).map(lambda drawn: tuple(commit(number=number, **fields) for number, fields in enumerate(drawn)))
policies = st.builds(
    Retention,
    last=st.integers(1, 4),
    every=st.none() | st.integers(1, 15),
    first=st.booleans(),
) | st.builds(
    Retention,
    last=st.integers(1, 4),
    best=st.integers(1, 3),
    metric=st.just("loss"),
    higher_is_better=st.booleans(),
)


@given(runs, policies)
def test_what_a_run_needs_always_stays_and_keeping_twice_is_keeping_once(commits, policy):
    kept = policy.kept(commits)
    assert policy.kept(kept) == kept
    assert set(map(id, kept)).isdisjoint(map(id, policy.dropped(commits)))
    healthy = [it for it in commits if not it.damaged]
    if healthy:
        newest = max(healthy, key=lambda it: (it.step, it.id))
        assert newest in kept
    assert all(it in kept for it in commits if it.pins)


@given(runs, policies, st.integers(0, 20))
def test_given_only_the_newest_it_drops_nothing_that_it_would_keep_given_all(commits, policy, count):
    """So a save may apply it to the head alone, where pages hold the older ones."""
    newest = sorted(commits, key=lambda it: it.step)[len(commits) - min(count, len(commits)) :]
    part = tuple(it for it in commits if it in newest)
    kept = policy.kept(part)
    assert [it for it in part if it in policy.kept(commits) and it not in kept] == []


def run_of(store: FakeStore, count: int) -> RunWriter:
    writer = begun(store)
    for step in range(1, count):
        writer.save(state(w=step), {}, step=step, metrics={"loss": abs(step - 3)})
    return writer


def test_a_policy_is_applied_in_one_change_of_the_head_and_the_trainer_goes_on():
    store = FakeStore()
    writer = run_of(store, 8)
    store.requests.clear()
    dropped = repository(store).retain("run", Retention(last=2, best=1, metric="loss"))
    assert [it.verb for it in store.requests if it.is_write() and it.key.endswith("/head")] == [
        "put_if_match"
    ]
    assert steps(dropped.dropped) == [1, 2, 4, 5]
    assert steps(dropped.kept) == steps(repository(store).commits("run")) == [0, 3, 6, 7]
    assert repository(store).head("run").writer == "a1"
    writer.save(state(w=8), {}, step=8)
    assert steps(repository(store).commits("run")) == [0, 3, 6, 7, 8]


def test_a_dry_run_changes_nothing():
    store = FakeStore()
    run_of(store, 6)
    before = dict(store.server.objects)
    assert steps(repository(store).retain("run", Retention(last=1), dry_run=True).dropped) == [1, 2, 3, 4]
    assert store.server.objects == before


def test_a_save_retains_in_the_same_put():
    store = FakeStore()
    writer = run_of(store, 4)
    store.requests.clear()
    writer.save(state(w=9), {}, step=9, retain=Retention(last=2))
    assert [it.verb for it in store.requests if it.is_write()] == ["put", "put", "put_if_match"]
    assert steps(writer.head.commits) == [0, 3, 9]
    late = writer.save(state(w=1), {}, step=1, retain=Retention(last=1))
    assert late in writer.head.commits  # what was saved just now stays, however old its step is


def test_a_commit_that_is_not_complete_does_not_count_and_is_marked():
    store = FakeStore()
    writer = run_of(store, 6)
    broken = writer.head.commits[4]
    for pack in writer.repository.shelf.read_manifest("run", broken).packs:
        del store.server.objects[f"{PREFIX}packs/{pack}"]
    done = repository(store).retain("run", Retention(last=2, first=False))
    assert steps(done.kept) == [3, 5]
    assert len(done.damaged) == 1
    assert f"run/{broken.id}" in done.damaged[0]


def test_a_save_counts_only_on_what_is_complete_and_marks_the_rest():
    store = FakeStore()
    writer = run_of(store, 6)
    broken = writer.head.commits[5]
    for pack in writer.repository.shelf.read_manifest("run", broken).packs:
        del store.server.objects[f"{PREFIX}packs/{pack}"]
    writer.save(state(w=6), {}, step=6, retain=Retention(last=2, first=False))
    assert [(it.step, it.damaged) for it in writer.head.commits] == [(4, False), (6, False)]
    assert not repository(store).verify("run", deep=True).found


def test_a_save_that_would_rest_on_a_lost_pack_is_stored_without_it():
    store = FakeStore()
    writer = run_of(store, 3)
    for pack in writer.repository.shelf.read_manifest("run", writer.head.commits[2]).packs:
        del store.server.objects[f"{PREFIX}packs/{pack}"]
    writer.save(state(w=2), {"again": 1}, step=4, retain=Retention(last=1))
    opened = repository(store)
    assert opened.restore("run").commit.step == 4
    assert not opened.verify("run", deep=True).found


def test_what_a_save_counts_on_is_asked_for_once():
    store = FakeStore()
    writer = run_of(store, 6)
    policy = Retention(last=3)
    writer.save(state(w=6), {}, step=6, retain=policy)
    for step in (7, 8, 9):
        store.requests.clear()
        writer.save(state(w=step), {}, step=step, retain=policy)
        assert len([it for it in store.requests if not it.is_write()]) <= 2  # a manifest, the size of a pack


@given(
    st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True),
    st.integers(1, 4),
    st.none() | st.integers(1, 10),
    st.booleans(),
)
def test_where_all_that_counts_is_complete_so_is_all_that_commits_go_for(at, last, every, first):
    policy = Retention(last=last, every=every, first=first)
    commits = tuple(commit(step) for step in at)
    dropped = set(steps(policy.dropped(commits)))
    counted = steps(policy.counted(commits))
    for it in policy.kept(commits):
        others = [replace(other, damaged=True) if other == it else other for other in commits]
        if dropped - set(steps(policy.dropped(others))):  # something stays in its place
            assert it.step in counted


def test_pins_hold_until_the_last_holder_lets_go():
    store = FakeStore()
    run_of(store, 4)
    opened = repository(store)
    for holder in ("blue", "green", "blue"):
        pinned = opened.pin("run", opened.commits("run")[1].id, holder)
    assert pinned.pins == ("blue", "green")
    opened.unpin("run", pinned.id, "blue")
    with pytest.raises(CommitPinned, match="green"):
        opened.drop("run", [pinned.id])
    assert opened.retain("run", Retention(last=1)).kept[1].id == pinned.id
    opened.unpin("run", pinned.id, "green")
    with pytest.raises(CommitMissing, match="not pinned"):
        opened.unpin("run", pinned.id, "green")
    opened.drop("run", [pinned.id])
    assert steps(opened.commits("run")) == [0, 3]


def test_a_tag_names_one_commit_and_a_note_is_replaced():
    store = FakeStore()
    writer = run_of(store, 4)
    opened = repository(store)
    first, second, *_ = opened.commits("run")
    opened.tag("run", first.id, "good")
    assert opened.tag("run", second.id[:8], "good").tags == ("good",)
    assert [it.tags for it in opened.commits("run")[:2]] == [(), ("good",)]
    assert opened.restore("run", "good").commit.step == 1
    assert opened.note("run", "good", "used in the paper").note == "used in the paper"
    assert opened.note("run", "newest", "last").step == 3
    assert opened.note("run", "good", "").note == ""
    opened.untag("run", "good")
    with pytest.raises(CommitMissing):
        opened.untag("run", "good")
    writer.save(state(w=7), {}, step=7)
    assert opened.commits("run")[-2].note == "last"


def test_an_edit_whose_answer_is_lost_is_found_to_have_landed():
    for fault in (Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE):
        server = FakeServer()
        run_of(FakeStore(server), 4)
        store = FakeStore(server)
        opened = repository(store)
        store.fault = at(1, fault)  # after the head was read
        chosen = opened.commits("run")[1].id
        store.fault = at(1, fault)
        assert steps(opened.drop("run", [chosen]).dropped) == [1]
        server.deliver()
        store.fault = at(1, fault)
        assert opened.pin("run", "newest", "me").pins == ("me",)
        server.deliver()
        assert [it.pins for it in opened.commits("run")] == [(), (), ("me",)]


def test_a_restore_of_a_commit_that_is_dropped_meanwhile_says_so():
    simulation = Simulation()
    writer = run_of(FakeStore(simulation.server), 4)
    old = writer.head.commits[1].id
    simulation.start("reader", lambda store: repository(store).restore("run", old))
    simulation.advance("reader", "get_range", "/packs/")
    other = repository(FakeStore(simulation.server))
    other.drop("run", [old])
    other.collect()
    assert other.collect().deleted.objects == 2
    error = simulation.advance("reader")
    assert isinstance(error, CommitMissing)
    assert "was dropped while it was read" in str(error)
    assert "pin" in str(error)


def test_a_drop_is_undone_until_a_collection_condemns_it():
    server = FakeServer()
    watch = Watch(server)
    run_of(FakeStore(server), 5)
    opened = repository(FakeStore(server))
    opened.tag("run", opened.commits("run")[1].id, "good")
    opened.note("run", "good", "keep me")
    before = opened.commits("run")
    dropped = opened.drop("run", ["good", before[2].id]).dropped
    opened.collect()  # too young to be condemned
    opened.undo_drop("run", dropped)
    opened.undo_drop("run", dropped)  # nothing more to do
    assert sorted(opened.commits("run"), key=lambda it: it.step) == list(before)
    assert opened.restore("run", "good").tensors == state(w=1)
    for _ in range(2):
        opened.collect()
    opened.verify(deep=True)
    dropped = opened.drop("run", ["good"]).dropped
    opened.collect()
    with pytest.raises(CommitMissing, match="cannot be taken back"):
        opened.undo_drop("run", dropped)
    assert watch.losses == []


def test_undoing_a_drop_while_a_collection_deletes_stores_the_bytes_anew():
    simulation = Simulation()
    watch = Watch(simulation.server)
    run_of(FakeStore(simulation.server), 4)
    opened = repository(FakeStore(simulation.server))
    chosen = opened.note("run", opened.commits("run")[1].id, "the one")
    dropped = opened.drop("run", [chosen.id]).dropped
    opened.collect()
    simulation.start("collector", lambda store: repository(store).collect())
    simulation.advance("collector", "delete")
    opened.undo_drop("run", dropped)
    assert simulation.advance("collector").deleted.objects == 2
    assert watch.losses == []
    (again,) = [it for it in opened.commits("run") if it.id == chosen.id]
    assert (again.note, again.metrics) == ("the one", chosen.metrics)
    assert again.manifest != chosen.manifest
    assert opened.restore("run", chosen.id).tensors == state(w=1)
    assert opened.head("run").writer == "a1"


def test_a_fork_begins_without_the_tags_pins_and_note_of_what_it_forks():
    store = FakeStore()
    run_of(store, 2)
    opened = repository(store)
    first = opened.commits("run")[0].id
    opened.tag("run", first, "best")
    opened.pin("run", first, "production")
    opened.note("run", first, "served since May")
    opened.fork("run", first, "child", "b1")
    (begun,) = opened.commits("child")
    assert (begun.tags, begun.pins, begun.note) == ((), (), "")
    opened.drop("child", [first])


@pytest.mark.parametrize("name", ["", "newest"])
def test_no_save_and_no_mark_gives_a_tag_that_means_something_else(name):
    store = FakeStore()
    writer = begun(store)
    with pytest.raises(InvalidName, match="a tag cannot be called"):
        writer.save(state(w=1), {}, step=1, tags=[name])
    with pytest.raises(InvalidName, match="a tag cannot be called"):
        repository(store).tag("run", writer.head.commits[0].id, name)
    assert steps(repository(store).commits("run")) == [0]
