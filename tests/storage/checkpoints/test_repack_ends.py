"""Whatever was saved, forked, dropped and repacked before: a second repack in a row moves nothing."""

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.checkpoints import Repository, RunWriter, Tensor
from storage.checkpoints.save import borrowing

from .fake_store import FakeStore
from .states import repository

RUNS = 4


class History:
    """Drawn saves, forks, new runs with the same tensors, drops, repacks and collections."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.repo: Repository = repository(FakeStore())
        self.names = ["a", "b", "c"][: self.rng.randint(1, 3)]
        self.writers = {"r0": RunWriter.create(self.repo, "r0", "a0")}
        self.weights = {"r0": {name: drawn([7, *name.encode()]) for name in self.names}}
        self.steps = {"r0": 0}

    def act(self) -> None:
        run, chance = self.rng.choice(list(self.writers)), self.rng.random()
        if chance < 0.65:
            self.save(run)
        elif chance < 0.76:
            if len(self.writers) < RUNS:
                self.branch(run, forked=chance < 0.72)
        elif chance < 0.9:
            commits = list(self.repo.commits(run))
            if len(commits) > 1:
                gone = self.rng.sample(commits, self.rng.randint(1, len(commits) - 1))
                self.repo.drop(run, [it.id for it in gone])
        elif chance < 0.95:
            self.repo.repack(run)
        else:
            self.repo.collect()

    def save(self, run: str) -> None:
        """Some tensors stay, some move a little, some become what they may have been before."""
        weights = self.weights[run]
        for name in self.names:
            chance = self.rng.random()
            if chance >= 0.9:
                weights[name] = drawn([self.rng.randrange(5)])
            elif chance >= 0.3:
                size = np.float32(10.0 ** -self.rng.randint(1, 5))
                weights[name] = weights[name] + size * drawn([self.rng.randrange(1 << 30)])
        tensors = {name: Tensor.from_numpy(weights[name]) for name in self.names}
        self.writers[run].save(tensors, {}, step=self.steps[run])
        self.steps[run] += 1

    def branch(self, run: str, *, forked: bool) -> None:
        name, commits = f"r{len(self.writers)}", self.repo.commits(run)
        if forked and not commits:
            return
        if forked:
            one = self.rng.choice(commits)
            self.writers[name], self.steps[name] = self.repo.fork(run, one.id, name, f"a{name}"), one.step + 1
        else:
            self.writers[name], self.steps[name] = RunWriter.create(self.repo, name, f"a{name}"), 0
        self.weights[name] = dict(self.weights[run])


def drawn(seed: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((16, 64)).astype(np.float32)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000))
@example(129)  # 129: what a repack moves would come to lie in a pack of another run that is wasteful itself
def test_a_second_repack_moves_nothing(seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(borrowing, "LEAST", 0)
        history = History(seed)
        for _ in range(history.rng.randint(5, 30)):
            history.act()
        repo = history.repo
        for run in history.writers:
            repo.repack(run)
            again = repo.repack(run)
            assert (again.emptied, again.rewritten, again.others) == ({}, (), {})
        assert repo.verify(deep=True).findings == []
