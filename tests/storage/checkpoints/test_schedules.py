"""Writers, forks, take-overs, retention, repair and the product's collector at once, in drawn orders.

With faults, whatever a head names is there, always, and garbage goes. Without a rule, the same draws find a
loss.
"""

import contextlib

import pytest

from storage.checkpoints import Ending
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.damage.repairing import _Repair
from storage.checkpoints.errors import CommitMissing
from storage.objects import Unreachable

from .collector import Watch, drop
from .fake_store import FakeStore
from .rules import (
    RULES,
    without_listing_first,
    without_stopping_for_a_newer_one,
    without_the_first_list,
)
from .schedules import play
from .simulation import Simulation
from .states import begun, near, repository, state
from .test_collections import fork_of_the_newest, new_state_of_a_resumed_trainer

PARTS = 4


def check(seed: int, *, plain: bool = False) -> None:
    played = play(seed, alone=seed % 2 == 1, loses_head=seed % 3 == 2, plain=plain)
    assert played.watch.losses == [], f"seed {seed}"
    assert played.unexpected() == {}, f"seed {seed}"
    opened = repository(FakeStore(played.simulation.server))
    for run in opened.broken_runs():  # who was to repair it was killed, or not given the time
        try:
            opened.repair(run)
        except CommitMissing:  # its head named none but damaged commits: what is left is removed, as is said
            assert not played.healthy, f"seed {seed}"
            server = played.simulation.server
            for key in [key for key in server.objects if f"runs/{run}/" in key]:
                del server.objects[key]
    for run in opened.runs():
        for commit in opened.commits(run):
            if commit.damaged:
                continue
            restored = opened.restore(run, commit.id)
            wanted = near(**restored.meta) if commit.step else state(w=0, m=0)
            assert restored.tensors == wanted, f"seed {seed}"
    for _ in range(2):
        assert opened.collect().ending in (Ending.FINISHED, Ending.NOTHING_TO_DO), f"seed {seed}"
    report = opened.verify(deep=True)
    assert (report.findings, report.unreferenced) == ([], 0), f"seed {seed}"


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_named_is_lost_and_two_collections_later_no_garbage_remains(part):
    for seed in range(part, 120, PARTS):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("part", range(PARTS))
def test_the_same_of_many_more_schedules(part, plain):
    for seed in range(1000 + part, 7000, PARTS):
        check(seed, plain=plain)


def test_the_same_where_plain_requests_get_no_answer_or_arrive_twice():
    for seed in range(10_000, 10_040):
        check(seed, plain=True)


def test_drawn_schedules_find_the_loss_when_a_collector_takes_silence_for_an_answer(monkeypatch):
    def deaf(step):
        def deafly(self, *args):
            with contextlib.suppress(Unreachable):
                step(self, *args)

        return deafly

    for name in ("mark", "rewrite"):
        monkeypatch.setattr(_Collection, name, deaf(getattr(_Collection, name)))
    assert any(play(seed, plain=True).watch.losses for seed in range(300))


FOUND_BY_DRAWING = ("check", "own", "relist", "version", "touch", "remark", "undo")
"""Within 35 schedules, `undo` within 75. What is lost without the other three takes too long to be drawn."""


@pytest.mark.parametrize("rule", FOUND_BY_DRAWING)
def test_drawn_schedules_find_the_loss_when_a_rule_is_left_out(rule, monkeypatch):
    RULES[rule](monkeypatch)
    assert any(play(seed).watch.losses for seed in range(600))


def test_drawn_schedules_find_the_loss_when_a_repair_does_not_look_at_lists(monkeypatch):
    monkeypatch.setattr(_Repair, "look", lambda *args: None)
    assert any(play(seed, loses_head=True).watch.losses for seed in range(1000))


def collect_once(store: FakeStore) -> object:
    return repository(store).collect()


def condemned_but_committed_in_time(simulation: Simulation) -> None:
    """Collection 1 condemns what a trainer then commits, before its head is rewritten."""
    server = simulation.server
    begun(FakeStore(server))
    drop(FakeStore(server), "run")
    simulation.start("trainer", new_state_of_a_resumed_trainer)
    simulation.advance("trainer", "put_if_match", "/head")  # of the take-over
    simulation.advance("trainer", "get", "/head")
    simulation.advance("trainer", "put_if_match", "/head")  # of the commit
    simulation.start("collector", collect_once)
    simulation.advance("collector", "put_if_absent", "collections/")
    simulation.advance("trainer")
    simulation.advance("collector", "put_if_match")  # list 1 is there


def newest_list_condemns_what_a_fork_reuses(simulation: Simulation) -> None:
    condemned_but_committed_in_time(simulation)
    simulation.start("fork", fork_of_the_newest)
    simulation.advance("fork", "put", "/child/manifests")  # knows collection 1, has read the parent
    drop(FakeStore(simulation.server), "run")
    simulation.advance("collector", "delete")
    simulation.advance("fork")
    simulation.advance("collector")


def a_newer_collection_begins_and_a_fork_knows_only_that(simulation: Simulation) -> None:
    condemned_but_committed_in_time(simulation)
    begun(FakeStore(simulation.server), "other")
    drop(FakeStore(simulation.server), "other")  # else the second collection has nothing to do
    simulation.start("second", collect_once)
    simulation.advance("second", "put_if_match")  # list 2 is there, without what the trainer has committed
    simulation.start("fork", fork_of_the_newest)
    simulation.advance("fork", "put", "/child/manifests")  # knows collection 2, has read the parent
    drop(FakeStore(simulation.server), "run")
    simulation.processes["collector"].store.requests.clear()
    while not rewritten(simulation, "run"):
        simulation.step("collector")
    simulation.advance("fork")
    simulation.advance("collector")


def rewritten(simulation: Simulation, run: str) -> bool:
    asked = simulation.processes["collector"].store.requests
    finished = simulation.processes["collector"].finished
    return finished or ("put_if_match", f"ck/runs/{run}/head") in [(it.verb, it.key) for it in asked[:-1]]


def two_collections_while_a_fork_reads(simulation: Simulation) -> None:
    server = simulation.server
    begun(FakeStore(server))
    simulation.start("fork", fork_of_the_newest)
    simulation.advance("fork", "put_if_absent", "/child/head")
    simulation.advance("fork", "head", "/packs/")
    simulation.step("fork")  # has looked at the parent again, to go on from it
    drop(FakeStore(server), "run")
    assert collect_once(FakeStore(server)).deleted.objects == 2
    begun(FakeStore(server), "other")
    drop(FakeStore(server), "other")
    simulation.start("collector", collect_once)
    simulation.advance("collector", "put_if_match")  # collection 2 is there
    simulation.advance("fork")
    simulation.advance("collector")


@pytest.mark.parametrize(
    ("trace", "rule"),
    [
        (newest_list_condemns_what_a_fork_reuses, without_the_first_list),
        (two_collections_while_a_fork_reads, without_listing_first),
        (a_newer_collection_begins_and_a_fork_knows_only_that, without_stopping_for_a_newer_one),
    ],
)
def test_the_other_three_rules_have_traces_that_lose_data_without_them(trace, rule, monkeypatch):
    monkeypatch.setattr(_Collection, "is_old", lambda self, name: True)
    for broken in (False, True):
        simulation = Simulation()
        watch = Watch(simulation.server)
        if broken:
            rule(monkeypatch)
        trace(simulation)
        assert bool(watch.losses) == broken, watch.losses
