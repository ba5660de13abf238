"""Running sums of which most are left out come out as if all had been kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows.arrays import sums
from lstm.windows.arrays.sums import Sums


@given(
    lengths=st.lists(st.integers(1, 1000), min_size=1, max_size=400),
    shuffled=st.booleans(),
    picks=st.lists(st.integers(0, 10**9), max_size=9),
)
@settings(deadline=None)
def test_every_place_and_row_is_found(lengths, shuffled, picks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "FEW", 0)
        patch.setattr(sums, "_AT_ONCE", 2)
        of = np.array(lengths, np.int32)
        order = np.random.default_rng(0).permutation(len(of)).astype(np.int32) if shuffled else None
        made = Sums(of, order)
    first = np.concatenate([[0], np.cumsum(of if order is None else of[order])])
    assert made.total == first[-1]
    assert made.all().tolist() == first.tolist()
    # a few at once are worked out, many come from all sums
    for places in ([pick % (len(of) + 1) for pick in picks], range(len(of) + 1)):
        assert made.at(np.array(places, np.int64)).tolist() == first[list(places)].tolist()
    for rows in ([pick % (made.total + 1) for pick in picks], range(made.total + 1)):
        wanted = np.searchsorted(first, list(rows), side="right") - 1
        assert made.find(np.array(rows, np.int64)).tolist() == wanted.tolist()
