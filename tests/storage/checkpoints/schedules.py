"""Drawn schedules of everything that may happen to a repository at once, with the product's own collector.

A seed draws the processes, the order of their requests, and the faults. Small worlds come often: a loss needs
few processes in an unlucky order, and is found sooner among fewer.
"""

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.checkpoints import CheckpointError, PackLists, Repository, Retention, RunWriter
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.format import pages
from storage.checkpoints.save import borrowing
from storage.objects import Unreachable

from .collector import PREFIX, Watch
from .fake_store import Crash, FakeStore, Fault, Request
from .simulation import Simulation
from .states import begun, near, repository

Work = Callable[[FakeStore], object]


def drawn_policy(rng: random.Random) -> Retention:
    return Retention(last=rng.choice((1, 1, 2)), first=rng.random() < 0.3)


def save_some(writer: RunWriter, rng: random.Random, first_step: int, count: int, *, tries: int = 1) -> None:
    """`tries`: of each save that ends because the server does not answer, before the next one."""
    for step in range(first_step, first_step + count):
        seeds = {name: rng.randrange(3) for name in ("m", "v", "w")}  # few, so that much is reused
        policy = drawn_policy(rng) if rng.random() < 0.3 else None
        for number in range(1, tries + 1):
            try:
                writer.save(near(**seeds), seeds, step=step, retain=policy)
                break
            except Unreachable:
                if number == tries == 1:
                    raise


def trainer(attempt: str, rng: random.Random, tries: int = 1) -> Work:
    def work(store: FakeStore) -> None:
        writer = RunWriter.take_over(repository(store), "run", attempt)
        save_some(writer, rng, 10 * int(attempt[1:]), rng.choice((1, 1, 3)), tries=tries)

    return work


def forker(rng: random.Random) -> Work:
    def work(store: FakeStore) -> None:
        writer = repository(store).fork("run", "newest", "child", "b1")
        save_some(writer, rng, 10, rng.choice((0, 0, 2)))

    return work


def newcomer(rng: random.Random) -> Work:
    """A run of its own that begins with tensors which others hold, as far as it finds them."""

    def work(store: FakeStore) -> None:
        writer = RunWriter.create(repository(store), "alone", "c1")
        save_some(writer, rng, 20, rng.choice((1, 1, 2)))

    return work


def keeper(rng: random.Random, runs: tuple[str, ...]) -> Work:
    """Retention, drops, second thoughts, tags and pins, by somebody who trains nothing."""

    def work(store: FakeStore) -> None:
        opened = repository(store)
        for _ in range(rng.choice((1, 2, 4))):
            run = rng.choice(runs)
            with contextlib.suppress(CheckpointError):  # dropped by another, pinned, not begun, condemned
                act(opened, run, rng)

    return work


def act(opened: Repository, run: str, rng: random.Random) -> None:
    commits = opened.commits(run)
    if not commits:
        return
    one = rng.choice(commits)
    match rng.choice(("retain", "drop", "drop", "drop all", "undo", "tag", "pin")):
        case "retain":
            opened.retain(run, drawn_policy(rng))
        case "drop":
            opened.drop(run, [one.id])
        case "drop all":
            opened.drop(run, [it.id for it in commits])
        case "undo":
            dropped = opened.drop(run, [one.id]).dropped
            opened.undo_drop(run, dropped)
        case "tag":
            opened.tag(run, one.id, "good")
        case "pin":
            opened.pin(run, one.id, "me")
            opened.unpin(run, one.id, "me")


def repacker(rng: random.Random, runs: tuple[str, ...]) -> Work:
    count = rng.choice((1, 2, 3))

    def work(store: FakeStore) -> None:
        opened = repository(store)
        for _ in range(count):
            run = rng.choice(runs)
            with contextlib.suppress(CheckpointError):  # not begun, or always condemned
                opened.repack(run)

    return work


def collector(rng: random.Random) -> Work:
    count, remembers = rng.choice((1, 2, 3)), rng.random() < 0.3

    def work(store: FakeStore) -> list[str]:
        with PackLists(Path(":memory:")) as lists:
            known = lists if remembers else None
            return [repository(store).collect(lists=known).ending for _ in range(count)]

    return work


HEAD = f"{PREFIX}runs/run/head"


def repairer(rng: random.Random, healthy: set[str]) -> Work:
    """Loses the run's head or makes it unreadable at some moment, and repairs it some time later.

    `healthy` takes the ids of the commits that the lost head named and did not call damaged.
    """
    wait, is_garbled = rng.choice((0, 1, 3, 6)), rng.random() < 0.5

    def work(store: FakeStore) -> None:
        opened = repository(store)
        for _ in range(rng.choice((1, 4, 12))):
            store.head(HEAD)  # time passes
        readable = {it.id for it in opened.commits("run") if not it.damaged}
        named = json.loads(store.server.objects[HEAD])  # of this very moment: no request lies between
        healthy.update(readable & {it["id"] for it in named["commits"] if not it["damaged"]})
        if is_garbled:
            store.server.objects[HEAD] = b"no head"
        else:
            del store.server.objects[HEAD]
        for _ in range(wait):
            list(store.scan(PREFIX))
        named_again = {it.id for it in opened.repair("run").named if not it.damaged}
        assert healthy <= named_again, f"{healthy - named_again} did not come back"

    return work


def faults(rng: random.Random) -> Callable[[str, Request], Fault | None]:
    """Rare kills before or after any request, rare trouble with conditional puts, of everybody."""
    often = rng.choice((0, 0, 0.03, 0.08))

    def fault(name: str, request: Request) -> Fault | None:
        if rng.random() > often:
            return None
        if rng.random() < 0.15:
            return rng.choice((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))
        if request.verb in ("put_if_match", "put_if_absent"):
            return rng.choice((Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE, Fault.AGAIN))
        return None

    return fault


def unheard(
    rng: random.Random, others: Callable[[str, Request], Fault | None]
) -> Callable[[str, Request], Fault | None]:
    """The same faults, and lost answers and late duplicates of plain puts, reads, lists and deletions too."""
    often = rng.choice((0.02, 0.05, 0.1))

    def fault(name: str, request: Request) -> Fault | None:
        if request.verb in ("put_if_match", "put_if_absent") or rng.random() > often:
            return others(name, request)
        if request.is_write():
            return rng.choice((Fault.REPEATED, Fault.REPEATED, Fault.ECHOED, Fault.ECHOED, Fault.GIVEN_UP))
        return rng.choice((Fault.REPEATED, Fault.REPEATED, Fault.GIVEN_UP))

    return fault


class Played:
    """One schedule, played to its end."""

    def __init__(
        self, seed: int, patch: pytest.MonkeyPatch, *, alone: bool, loses_head: bool, plain: bool
    ) -> None:
        rng = random.Random(seed)
        self.simulation = Simulation()
        self.watch = Watch(self.simulation.server)
        self.healthy: set[str] = set()
        """Commits of `run` that were in order when it lost its head."""
        if rng.random() < 0.7:  # no mercy on what is young: the protocol does not rely on generations
            patch.setattr(_Collection, "is_old", lambda self, name: True)
        if rng.random() < 0.3:
            patch.setattr(pages, "HEAD_COMMITS", 3)
            patch.setattr(pages, "STAY", 1)
            patch.setattr(pages, "JUST_WRITTEN", 1)
        runs: tuple[str, ...] = ("run", "run", "child")
        if alone:
            patch.setattr(borrowing, "LEAST", 0)
            runs = (*runs, "alone")
        writer = begun(FakeStore(self.simulation.server))
        save_some(writer, rng, 1, rng.choice((0, 2, 4)))
        self.simulation.fault = faults(random.Random(rng.random()))
        if plain:
            self.simulation.fault = unheard(random.Random(seed), self.simulation.fault)
        processes = {
            "trainer": trainer("a2", random.Random(rng.random()), 1 + 2 * plain),
            "successor": trainer("a3", random.Random(rng.random())),
            "fork": forker(random.Random(rng.random())),
            "keeper": keeper(random.Random(rng.random()), runs),
            "repacker": repacker(random.Random(rng.random()), runs),
            "collector": collector(random.Random(rng.random())),
            "second": collector(random.Random(rng.random())),
        }
        absent = rng.choice((0, 1, 2, 3, 4))
        for name in rng.sample(sorted(processes.keys() - {"collector"}), absent):
            del processes[name]
        if alone:
            processes["newcomer"] = newcomer(random.Random(seed))
        if loses_head:
            processes["repairer"] = repairer(random.Random(seed), self.healthy)
        for name, work in processes.items():
            self.simulation.start(name, work)
        self.results = self.simulation.shuffle(seed)
        patch.undo()

    def unexpected(self) -> dict[str, object]:
        """Processes that ended in a way in which none may end."""
        return {
            name: result
            for name, result in self.results.items()
            if isinstance(result, BaseException)
            and not isinstance(result, (CheckpointError, Crash, Unreachable))
        }


def play(seed: int, *, alone: bool = False, loses_head: bool = False, plain: bool = False) -> Played:
    """`alone`: a run that is nobody's fork is among them. `loses_head`: `run` does at some moment.

    `plain`: answers to plain requests are lost too.
    """
    with pytest.MonkeyPatch.context() as patch:
        return Played(seed, patch, alone=alone, loses_head=loses_head, plain=plain)
