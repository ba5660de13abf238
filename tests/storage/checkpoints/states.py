"""Small states for tests, whose tensors are large enough to lie in packs."""

import numpy as np

from storage.checkpoints import Repository, RunWriter, Tensor

from .collector import PREFIX
from .fake_store import FakeStore


def state(**seeds: int) -> dict[str, Tensor]:
    """One tensor of 2 KiB per keyword; the same name and seed give the same bytes."""
    return {name: Tensor.from_numpy(_drawn([seed, *name.encode()])) for name, seed in seeds.items()}


def near(**seeds: int) -> dict[str, Tensor]:
    """The same, but tensors of one name are near to each other, so that saves rest on earlier ones."""
    starts = {name: _drawn([*name.encode()]) for name in seeds}
    steps = {name: _drawn([seed, *name.encode()]) for name, seed in seeds.items()}
    return {name: Tensor.from_numpy(starts[name] + np.float32(1e-3) * steps[name]) for name in seeds}


def _drawn(seed: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((8, 64)).astype(np.float32)


def repository(store: FakeStore) -> Repository:
    """A repository whose waits between tries take no time."""
    return Repository.create(store, PREFIX, pause=lambda seconds: None)


def begun(store: FakeStore, run: str = "run", attempt: str = "a1") -> RunWriter:
    """The writer of a new run that has a commit of step 0."""
    writer = RunWriter.create(repository(store), run, attempt)
    writer.save(state(w=0, m=0), {"step": 0}, step=0)
    return writer
