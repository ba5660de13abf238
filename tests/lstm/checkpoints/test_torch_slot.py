"""A slot's copies of torch's tensors are what they were, in memory that is used again and pinned."""

import pytest
import torch

from lstm.checkpoints import torch_slot
from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.torch_slot import TorchSlot
from storage.checkpoints import Repository, RunWriter
from storage.checkpoints.background.background_writer import BackgroundWriter
from storage.checkpoints.tensor import Tensor
from storage.objects import Bucket


def state() -> dict[str, torch.Tensor | Tensor]:
    return {
        "w": torch.randn(7, 5),
        "turned": torch.randn(4, 6).t()[1:],
        "half": torch.randn(3).bfloat16(),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.empty(0, 3),
        "conjugate": torch.tensor([1 + 2j, 3j]).conj(),
        "flags": torch.tensor([True, False, True]),
        "weight": torch.nn.Parameter(torch.ones(2, 2)),
        "plain": Tensor("uint8", (4,), b"plan"),
    }


def plain(value: torch.Tensor | Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else from_torch(value)


def test_copies_stay_as_they_were_and_their_memory_is_used_again() -> None:
    taken: list[int] = []

    def allocate(size: int) -> torch.Tensor:
        taken.append(size)
        return torch.empty(size, dtype=torch.uint8)

    slot, now = TorchSlot(allocate), state()
    before = {
        name: Tensor(it.dtype, it.shape, bytes(it.data))
        for name, it in ((n, plain(v)) for n, v in now.items())
    }
    copies = slot.copy(now)
    for it in now.values():
        if isinstance(it, torch.Tensor):
            it.detach().zero_()
    assert copies == before
    slot.copy(state())
    assert len(taken) == 1
    slot.reserve(10_000)
    slot.copy(state())
    assert taken[1:] == [10_000]


@pytest.mark.parametrize("there", [True, False])
def test_memory_is_pinned_where_there_is_an_accelerator(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """The accelerator is a fake: what is asked of torch is looked at."""
    asked: list[bool] = []
    empty = torch.empty

    def fake(size: int, *, dtype: torch.dtype, pin_memory: bool = False) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(size, dtype=dtype)

    slot = TorchSlot()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    monkeypatch.setattr(torch_slot.torch, "empty", fake)
    slot.copy({"w": torch.ones(3)})
    assert asked == [there]


def test_what_cannot_be_stored_is_refused_before_anything_is_copied() -> None:
    with pytest.raises(ValueError, match="sparse"):
        TorchSlot().copy({"w": torch.ones(3), "s": torch.ones(3).to_sparse()})


def test_torch_tensors_are_saved_beside_training(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "slots/")
    writer = RunWriter.create(repository, "run", "a1")
    now = state()
    expected = {
        name: Tensor(it.dtype, it.shape, bytes(it.data))
        for name, it in ((n, plain(v)) for n, v in now.items())
    }
    with BackgroundWriter(writer, new_slot=TorchSlot) as saver:
        saver.save(now, {}, step=1)
        now["w"].zero_()  # type: ignore[union-attr]
    assert repository.restore("run").tensors == expected
