"""A slot's copy is the state as it was, in memory that is used again."""

import numpy as np

from storage.checkpoints import HostSlot, Tensor


def test_the_copy_stays_as_it_was_and_its_memory_is_used_again():
    weights, moments = np.arange(1000, dtype=np.float32), np.ones((3, 5), np.float64)
    state = {
        "w": Tensor.from_numpy(weights, block_rows=250),
        "m": Tensor.from_numpy(moments),
        "none": Tensor("float32", (0, 4), b""),
    }
    before = {name: bytes(tensor.data) for name, tensor in state.items()}
    slot = HostSlot()
    first = slot.copy(state)
    weights += 1
    moments *= np.nan
    assert {name: bytes(tensor.data) for name, tensor in first.items()} == before
    assert (first["w"].block_rows, first["m"].shape, first["none"].shape) == (250, (3, 5), (0, 4))
    assert address(slot.copy(state)["w"]) == address(first["w"])


def test_what_was_reserved_is_used():
    state = {"w": Tensor.from_numpy(np.arange(1000.0))}
    slot = HostSlot()
    slot.reserve(3 * 2**20)
    reserved = slot._memory.__array_interface__["data"][0]
    assert slot.copy(state) == state
    assert address(slot.copy(state)["w"]) == reserved


def test_a_state_that_has_grown_still_fits():
    slot = HostSlot()
    slot.copy({"w": Tensor.from_numpy(np.zeros(3))})
    large = Tensor.from_numpy(np.arange(100.0))
    assert slot.copy({"v": large, "w": large}) == {"v": large, "w": large}


def test_bytes_that_cannot_change_are_not_copied():
    plan = Tensor("uint8", (4,), b"plan")
    assert HostSlot().copy({"plan": plan})["plan"] is plan


def address(tensor: Tensor) -> int:
    return np.frombuffer(tensor.data, np.uint8).__array_interface__["data"][0]
