"""One tensor is restored by few requests: the head, the manifest, one range of each pack that it touches."""

import numpy as np
import pytest

from storage.checkpoints import RunWriter, Tensor
from storage.checkpoints.format.closure import with_bases

from .adam import states
from .fake_store import FakeStore
from .states import repository

STEPS = 3


@pytest.fixture(scope="module")
def trained() -> RunWriter:
    """A tensor of two chunks under Adam, its moments, and one beside; each state rests on those before."""
    writer = RunWriter.create(repository(FakeStore()), "run", "a1")
    beside = np.random.default_rng(1).standard_normal((512, 1024)).astype(np.float32)
    for step, (tensors, hints) in enumerate(states(STEPS, rows=8192)):
        beside = beside * np.float32(1.001)
        writer.save({**tensors, "beside": Tensor.from_numpy(beside)}, {}, step=step, hints=hints)
    return writer


@pytest.mark.parametrize("step", [0, STEPS - 1])
@pytest.mark.parametrize("name", ["w", "v", "beside"])
def test_one_tensor_is_read_by_one_range_of_each_pack(trained: RunWriter, name: str, step: int) -> None:
    commit = trained.head.commits[step]
    manifest = trained.repository.shelf.read_manifest("run", commit)
    chunks = dict.fromkeys(manifest.tensors[name].chunks, ("float32", 2**20))
    needed = with_bases(chunks, manifest.locations)
    assert (len(needed) > len(chunks) == 2) == (step > 0), "it rests on others"
    packs = {manifest.locations[chunk].pack for chunk in needed}
    store = FakeStore(trained.repository.shelf.files.store.server)  # type: ignore[attr-defined]
    opened = repository(store)
    store.requests.clear()
    restored = opened.restore("run", commit.id, names=[name])
    assert restored.tensors.keys() == {name}
    ranges = [it.key for it in store.requests if "/packs/" in it.key]
    assert sorted(ranges) == sorted(f"{opened.shelf.place}packs/{pack}" for pack in packs)
    assert len(store.requests) == 2 + len(packs), "and the head and the manifest"
    assert step or len(packs) <= 2
