"""Trainers, a fork, retention and collectors at once, in many drawn orders, with faults: nothing is lost."""

import random

import pytest

from storage.checkpoints import CommitMissing, RunExists, RunMissing, RunWriter, TakenOver, Tensor

from .collector import Watch, collect, drop
from .fake_store import Crash, FakeStore, Fault, Request
from .simulation import Simulation
from .states import begun, repository, state

EXPECTED = (TakenOver, CommitMissing, RunExists, RunMissing, Crash)
SCHEDULES = 60


def drawn_state(rng: random.Random) -> dict[str, Tensor]:
    """Of few possible tensors, so that much is reused."""
    return state(**{name: rng.randrange(3) for name in ("m", "v", "w")})


def save_some(writer: RunWriter, rng: random.Random, first_step: int) -> None:
    for step in range(first_step, first_step + 3):
        seeds = {name: rng.randrange(3) for name in ("m", "v", "w")}
        writer.save(state(**seeds), seeds, step=step)


def trainer(attempt: str, rng: random.Random):
    def work(store: FakeStore) -> None:
        writer = RunWriter.take_over(repository(store), "run", attempt)
        save_some(writer, rng, 10 * int(attempt[1:]))

    return work


def forker(rng: random.Random):
    def work(store: FakeStore) -> None:
        writer = repository(store).fork("run", "newest", "child", "b1")
        save_some(writer, rng, 10)

    return work


def retention(store: FakeStore) -> None:
    for run in ("run", "child", "run"):
        drop(store, run, keep=1 if run == "run" else 0)


def collector(store: FakeStore) -> list[str]:
    return [collect(store) for _ in range(3)]


def faults(rng: random.Random):
    """Rare kills of writers, rare trouble with conditional puts of writers."""

    def fault(name: str, request: Request) -> Fault | None:
        if name in ("collector", "second", "retention") or rng.random() > 0.06:
            return None
        if rng.random() < 0.1:
            return rng.choice((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))
        if request.verb in ("put_if_match", "put_if_absent"):
            return rng.choice((Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE, Fault.AGAIN))
        return None

    return fault


def play(seed: int) -> tuple[Watch, dict[str, object], Simulation]:
    rng = random.Random(seed)
    simulation = Simulation()
    watch = Watch(simulation.server)
    writer = begun(FakeStore(simulation.server))
    save_some(writer, rng, 1)
    simulation.fault = faults(random.Random(rng.random()))
    simulation.start("trainer", trainer("a2", random.Random(rng.random())))
    simulation.start("successor", trainer("a3", random.Random(rng.random())))
    simulation.start("fork", forker(random.Random(rng.random())))
    simulation.start("retention", retention)
    simulation.start("collector", collector)
    simulation.start("second", collector)
    return watch, simulation.shuffle(seed), simulation


@pytest.mark.parametrize("part", range(3))
def test_no_schedule_loses_what_a_head_names(part):
    for seed in range(part * SCHEDULES // 3, (part + 1) * SCHEDULES // 3):
        watch, results, simulation = play(seed)
        assert watch.losses == [], f"seed {seed}"
        for name, result in results.items():
            assert not isinstance(result, BaseException) or isinstance(result, EXPECTED), (seed, name, result)
        opened = repository(FakeStore(simulation.server))
        for run in opened.runs():
            for commit in opened.head(run).commits:
                restored = opened.restore(run, commit.id)
                if commit.step:
                    assert restored.tensors == state(**restored.meta), f"seed {seed}"
