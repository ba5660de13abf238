"""Any order of saves, forks, drops, repacks and collections: every commit stays what it was, garbage goes.

One thing at a time, by hypothesis, on saves that rest on earlier ones; what may happen at once is drawn in
`test_schedules`.
"""

from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from storage.checkpoints import Retention, RunWriter, Tensor
from storage.checkpoints.collect.waste import WASTE_LIMIT

from .fake_store import FakeStore
from .states import near, repository

RUNS = ("run", "child", "grandchild")
SEEDS = st.fixed_dictionaries({name: st.integers(0, 5) for name in ("m", "v", "w")})


class Life(RuleBasedStateMachine):
    """A run, forks of it, and somebody who tidies up; `held` says what each commit must hold."""

    @initialize()
    def begin(self) -> None:
        self.store = FakeStore()
        self.repo = repository(self.store)
        self.held: dict[tuple[str, str], dict[str, Tensor]] = {}
        self.writers = {"run": RunWriter.create(self.repo, "run", "a0")}
        self.number = 0
        self.save("run", {"m": 0, "v": 0, "w": 0}, 1)

    @rule(run=st.sampled_from(RUNS), seeds=SEEDS, count=st.integers(1, 4))
    def save(self, run: str, seeds: dict[str, int], count: int) -> None:
        """A few steps; each changes one tensor."""
        if run not in self.writers:
            return
        for name in sorted(seeds)[:count]:
            seeds = {**seeds, name: seeds[name] + 1}
            self.number += 1
            tensors = near(**seeds)
            commit = self.writers[run].save(tensors, {"number": self.number}, step=self.number)
            self.held[run, commit.id] = tensors

    @rule(run=st.sampled_from(RUNS))
    def restart(self, run: str) -> None:
        """Another attempt takes over, and goes on from the newest commit."""
        if run in self.writers and self.repo.commits(run):
            self.number += 1
            self.writers[run] = RunWriter.take_over(self.repo, run, f"a{self.number}")
            self.writers[run].resume()

    @rule(which=st.sampled_from((("run", "child"), ("child", "grandchild"))))
    def fork(self, which: tuple[str, str]) -> None:
        parent, child = which
        if parent in self.writers and child not in self.writers and self.repo.commits(parent):
            self.writers[child] = self.repo.fork(parent, "newest", child, "b0")
            (commit,) = self.repo.commits(child)
            self.held[child, commit.id] = self.held[parent, commit.id]

    @rule(run=st.sampled_from(RUNS), last=st.integers(1, 3), first=st.booleans())
    def retain(self, run: str, last: int, first: bool) -> None:
        if run in self.writers:
            for commit in self.repo.retain(run, Retention(last=last, first=first)).dropped:
                del self.held[run, commit.id]

    @rule(run=st.sampled_from(RUNS), at=st.integers(0, 9))
    def drop(self, run: str, at: int) -> None:
        commits = self.repo.commits(run) if run in self.writers else ()
        if commits:
            commit = commits[at % len(commits)]
            self.repo.drop(run, [commit.id])
            del self.held[run, commit.id]

    @rule(run=st.sampled_from(RUNS))
    def repack(self, run: str) -> None:
        """Afterwards no pack of the run is dead by more than a fifth."""
        if run not in self.writers:
            return
        self.repo.repack(run)
        needed: dict[str, dict[int, int]] = defaultdict(dict)
        sizes: dict[str, int] = {}
        for other in self.writers:
            for commit in self.repo.commits(other):
                manifest = self.repo.shelf.read_manifest(other, commit)
                sizes |= manifest.packs if other == run else {}
                for at in manifest.locations.values():
                    needed[at.pack][at.offset] = at.size
        for pack, size in sizes.items():
            assert size - sum(needed[pack].values()) <= WASTE_LIMIT * size

    @rule()
    def collect(self) -> None:
        """Two in a row leave nothing that no commit needs."""
        for _ in range(2):
            self.repo.collect()
        assert self.repo.verify().unreferenced == 0

    @precondition(lambda self: self.held)
    @invariant()
    def every_commit_is_what_it_was(self) -> None:
        names = {(run, it.id) for run in self.writers for it in self.repo.commits(run)}
        assert names == self.held.keys()
        for (run, commit), tensors in self.held.items():
            assert self.repo.restore(run, commit).tensors == tensors


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(7200)  # 9,000 steps, each of which looks at the whole repository
def test_the_same_of_many_more_lives() -> None:
    run_state_machine_as_test(
        Life, settings=settings(max_examples=300, stateful_step_count=30, deadline=None)
    )
