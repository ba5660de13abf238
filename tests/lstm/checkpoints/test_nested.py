"""A nested state comes back as it was: containers, keys, dtypes and bits."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm.checkpoints.nested import of_tensors, to_tensors
from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.values import NotStorable
from storage.checkpoints import Damaged, Tensor
from storage.checkpoints.save.draft import Draft

KEYS = st.text("ab/~.1", max_size=4)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.sampled_from([torch.tensor(-0.0), torch.arange(6).view(2, 3).bfloat16(), torch.empty(0, 2)])
    | st.sampled_from([np.arange(3, dtype=np.uint16), np.float64(0.1), np.array(2.0)])
)
STATES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(KEYS, inner, max_size=3)
            | st.dictionaries(st.integers(-2, 9), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def same(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return from_torch(first) == from_torch(second)
    if isinstance(first, np.ndarray | np.generic):
        return first.dtype == second.dtype and first.tobytes() == second.tobytes()
    return bool(first == second)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(STATES)
def test_any_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    tensors, meta = to_tensors(state)
    draft = Draft.of(tensors, meta, 0)  # its names can be stored, and its meta
    assert same(of_tensors(tensors, draft.meta), state)


@pytest.mark.parametrize(
    "state", [{"a": {1: torch.ones(1), "b": 2}}, {"a": [object(), torch.ones(1)]}, {3: torch.ones(1)}]
)
def test_what_cannot_be_stored_is_named(state: Any) -> None:
    with pytest.raises(NotStorable):
        to_tensors(state)


@pytest.mark.parametrize(
    "kinds", [{"a": "list"}, {"a": "set"}, {"a/x": "scalar"}, {"a": "ints"}], ids=lambda it: str(it)
)
def test_a_bent_commit_is_damaged(kinds: dict[str, str]) -> None:
    tensors = {"a/x": Tensor("int64", (2,), bytes(16)), "a/9": Tensor("int64", (2,), bytes(16))}
    with pytest.raises(Damaged):
        of_tensors(tensors, {"nested state": {"kinds": kinds, "values": {}}})
    with pytest.raises(Damaged):
        of_tensors({"/".join("a" * 200): tensors["a/x"]}, {"nested state": {"kinds": {}, "values": {}}})
    with pytest.raises(Damaged):
        of_tensors(tensors, {})
