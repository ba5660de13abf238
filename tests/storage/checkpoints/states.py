"""Small states for tests, whose tensors are large enough to lie in packs."""

import numpy as np

from storage.checkpoints import Repository, RunWriter, Tensor

from .collector import PREFIX
from .fake_store import FakeStore


def state(**seeds: int) -> dict[str, Tensor]:
    """One tensor of 2 KiB per keyword; the same name and seed give the same bytes.

    Tensors of the same name and other seeds are near to each other, so that saves rest on earlier ones.
    """
    return {name: Tensor.from_numpy(_drawn(seed, name)) for name, seed in seeds.items()}


def _drawn(seed: int, name: str) -> np.ndarray:
    start = np.random.default_rng([*name.encode()]).standard_normal((8, 64))
    step = np.random.default_rng([seed, *name.encode()]).standard_normal((8, 64))
    return (start + 1e-3 * step).astype(np.float32)


def repository(store: FakeStore) -> Repository:
    """A repository whose waits between tries take no time."""
    return Repository.create(store, PREFIX, pause=lambda seconds: None)


def begun(store: FakeStore, run: str = "run", attempt: str = "a1") -> RunWriter:
    """The writer of a new run that has a commit of step 0."""
    writer = RunWriter.create(repository(store), run, attempt)
    writer.save(state(w=0, m=0), {"step": 0}, step=0)
    return writer
