"""The order of an epoch is the one that DESIGN.md defines, exactly, at any size."""

from fractions import Fraction
from math import ceil, floor
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows.arrays import permute
from lstm.windows.arrays.permute import permutation, permutations, seed_of, splitmix64
from lstm.windows.order.order import EpochOrder

from .reference_order import epoch_order, permuted

HALF = Fraction(1, 2)


def test_splitmix64_gives_the_published_numbers():
    assert [hex(z) for z in splitmix64(0, 3)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_a_key_means_the_same_number_for_ever():
    assert seed_of([7, 3]) == 11629266093896652925
    assert seed_of([7, 3, "weight"]) == 3536513649689032912
    assert permutation([7, 3], 10).tolist() == [0, 4, 8, 1, 5, 3, 9, 7, 6, 2]


@given(st.integers(0, 10**30), st.integers(0, 50), st.integers(0, 300))
@settings(deadline=None)
def test_permutations_equal_the_reference(seed, epoch, n):
    assert permutation([seed, epoch], n).tolist() == permuted(list(range(n)), [seed, epoch])


@given(
    st.lists(st.tuples(st.integers(0, 2**70), st.integers(0, 60)), max_size=9), st.sampled_from([1, 50, 9999])
)
@settings(deadline=None)
def test_permutations_worked_out_together_are_those_of_each(drawn, together):
    expected, ends = [], 0
    for seed, n in drawn:
        expected += [place + ends for place in permuted(range(n), [seed, 5])]
        ends += n
    with mock.patch.object(permute, "_TOGETHER", together):
        found = permutations([[seed, 5] for seed, _ in drawn], [n for _, n in drawn])
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize("shuffled", [True, False])
def test_orders_of_pools_come_end_to_end(shuffled):
    order = EpochOrder(
        np.array([3, 1, 4, 1, 5, 9, 2, 6]), lanes=3, pool=2, seed=7, epoch=2, shuffled=shuffled
    )
    pools = [(lane, pool) for lane in (2, 0, 1) for pool in range(order.pools(lane))]
    own = [order.pool_order(*pool) for pool in pools]
    begins = np.cumsum([0, *map(len, own)])[:-1]
    expected = np.concatenate([it + begin for it, begin in zip(own, begins, strict=True)])
    assert order.pool_orders(pools).tolist() == expected.tolist()


@st.composite
def layouts(draw):
    counts = draw(st.lists(st.integers(1, 40), min_size=1, max_size=40))
    return counts, draw(st.integers(1, 12)), draw(st.integers(1, 4)), draw(st.booleans())


def walk(order, start, stop):
    """[(window, lane)] of the positions start … stop-1."""
    merged = order.merge(start, stop)
    found = []
    for lane, index in zip(merged.lanes.tolist(), merged.indices.tolist(), strict=True):
        pool = order.pool_at(lane, index)
        first, end = order.pool_span(lane, pool)
        assert first <= index < end
        found.append((int(order.pool_windows(lane, pool)[index - first]), lane))
    assert merged.positions.tolist() == list(range(start, stop))
    return found


@given(layouts(), st.integers(0, 2**63), st.integers(0, 9), st.data())
@settings(deadline=None)
def test_every_position_equals_the_reference(layout, seed, epoch, data):
    counts, lanes, pool, shuffled = layout
    ends = np.cumsum(counts)
    superblocks = [list(range(end - count, end)) for count, end in zip(counts, ends.tolist(), strict=True)]
    expected = epoch_order(superblocks, lanes, pool, seed, epoch, shuffled)
    order = EpochOrder(np.array(counts), lanes=lanes, pool=pool, seed=seed, epoch=epoch, shuffled=shuffled)
    start = data.draw(st.integers(0, order.windows))
    stop = data.draw(st.integers(start, order.windows))
    assert walk(order, start, stop) == expected[start:stop]
    assert walk(order, 0, order.windows) == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1, 2**25 // 3, 2**25 + 1, 10**11])  # by floats up to 2**25 per lane
def test_lanes_are_merged_exactly_where_floating_point_would_tie(scale, seed):
    """With 10**11 windows per superblock, the first keys of lanes differ by less than 2**-70."""
    counts = np.array([3 * scale, 3 * scale - 1, 2 * scale + 1, 3 * scale, 1, 7], np.int64)
    order = EpochOrder(counts, lanes=4, pool=1, seed=seed, epoch=0)
    n = order.lane_windows
    for start in {0, 1, order.windows // 3, order.windows // 2, order.windows - 9}:
        merged = order.merge(start, min(start + 9, order.windows))
        keys = [
            (Fraction(2 * i + 1, 2 * n[lane]), lane)
            for lane, i in zip(merged.lanes.tolist(), merged.indices.tolist(), strict=True)
        ]
        assert keys == sorted(keys)
        for position, (key, lane) in zip(merged.positions.tolist(), keys, strict=True):
            before = sum(
                ceil(n[other] * key - HALF) if other >= lane else floor(n[other] * key + HALF)
                for other in range(4)
            )
            assert before == position


def test_superblocks_go_to_the_lane_with_the_fewest_windows():
    order = EpochOrder(np.array([5, 1, 1, 9]), lanes=3, pool=1, seed=0, epoch=0, shuffled=False)
    held = [[order.pool_superblocks(lane, p).tolist() for p in range(order.pools(lane))] for lane in range(3)]
    assert held == [[[0]], [[1], [3]], [[2]]]


def test_a_lane_may_stay_empty():
    order = EpochOrder(np.array([4]), lanes=3, pool=2, seed=5, epoch=1)
    assert order.lane_windows == [4, 0, 0]
    assert sorted(window for window, _ in walk(order, 0, 4)) == [0, 1, 2, 3]
