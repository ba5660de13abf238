"""A plan that memory cannot hold as it was asked for is made to fit, or is left to be refused."""

import re

import deltalake
import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import (
    OrderSpec,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
    open_windows,
)
from lstm.windows.errors import BudgetTooSmall
from lstm.windows.features.features import Features
from lstm.windows.read.expected import expected_reading
from lstm.windows.read.memory import rank_bytes
from lstm.windows.read.sizing import _smaller, fitted, needed

from .drain import drain
from .memory_table import MemorySnapshot

SERIES, ROWS = 24, 6_000
GROUP = 6_000
"""One series per row group: 16 bytes per row, 96 kB decoded."""


class Paged(MemorySnapshot):
    """One whose row groups have pages of so many rows, or none."""

    page: int | None = 500

    def page_rows(self, file, row_group, columns):
        return self.page


def table(page, series=SERIES):
    random = np.random.default_rng(0)
    groups = [
        pa.table(
            {
                "name": pa.array([number] * ROWS, pa.int32()),
                "t": np.arange(ROWS, dtype=np.int64),
                "x": random.random(ROWS, np.float32),
                "y": random.random(ROWS, np.float32),
            }
        )
        for number in range(series)
    ]
    snapshot = Paged([[group] for group in groups])
    snapshot.page = page
    return snapshot


def planned(snapshot, *, lanes=4, pool=4, validation=0.0):
    return make_plan(
        index_snapshot(snapshot, entity="name", time="t", max_gap=None),
        WindowSpec(context=20, horizon=4, stride=4),
        SplitSpec(validation=validation, test=0),
        OrderSpec(lanes=lanes, pool=pool),
    )


def fit(plan, snapshot, budget, ranks=1):
    features = Features(snapshot.schema, ("x", "y"))
    return fitted(plan, snapshot, features, budget_bytes=budget, ranks=ranks), features.row_bytes


def test_what_fits_stays_as_it_is():
    snapshot = table(500)
    plan = planned(snapshot)
    assert fit(plan, snapshot, 1 << 30)[0] is plan


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("share", [0.5, 0.25])
def test_row_groups_with_pages_are_cut_and_nothing_else_changes(share, ranks):
    snapshot = table(500)
    plan = planned(snapshot)
    budget = int(share * needed(plan, 16, ranks))
    cut, row_bytes = fit(plan, snapshot, budget, ranks)
    assert (cut.order.lanes, cut.order.pool) == (4, 4)
    assert 500 <= cut.order.superblock_rows < GROUP
    assert needed(cut, row_bytes, ranks) <= budget
    assert cut.id != plan.id
    assert cut.windows("train") == plan.windows("train")


def test_pools_get_smaller_before_superblocks_get_smaller_than_a_page_and_then_there_are_fewer_lanes():
    snapshot = table(3_000, series=100)
    plan = planned(snapshot, lanes=16, pool=2)
    orders = [fit(plan, snapshot, int(share * needed(plan, 16, 1)))[0].order for share in (0.6, 0.35, 0.2)]
    assert [(it.lanes, it.pool) for it in orders] == [(16, 2), (16, 1), (8, 1)]
    assert all(it.superblock_rows >= 3_000 for it in orders)


def test_without_pages_row_groups_stay_whole():
    snapshot = table(None)
    plan = planned(snapshot, lanes=8, pool=2)
    smaller, row_bytes = fit(plan, snapshot, int(0.7 * needed(plan, 16, 1)))
    assert smaller.order == OrderSpec(lanes=8, pool=1)
    assert needed(smaller, row_bytes, 1) <= int(0.7 * needed(plan, 16, 1))


def test_what_nothing_makes_fit_is_refused_with_what_would():
    snapshot = table(None)
    plan = planned(snapshot)
    assert fit(plan, snapshot, 1_000)[0] is plan
    with pytest.raises(BudgetTooSmall, match="What would fit"):
        WindowStream(plan, WindowReader(snapshot, plan, ("x", "y"), 1_000), "train", seed=0, batch_size=8)


def test_both_splits_that_training_streams_have_room():
    snapshot = table(500)
    plan = planned(snapshot, validation=0.3)
    budget = needed(plan, 16, 1) // 3
    cut, _ = fit(plan, snapshot, budget)
    reader = WindowReader(snapshot, cut, ("x", "y"), budget)
    with (
        WindowStream(cut, reader, "train", seed=0, batch_size=8) as training,
        WindowStream(cut, reader, "validation", seed=0, batch_size=8) as validation,
    ):
        assert len(next(iter(training))) == len(next(iter(validation))) == 8


def test_a_cut_plan_reads_each_row_once_but_for_halos_and_gives_the_same_windows():
    snapshot = table(500)
    plan = planned(snapshot)
    cut, row_bytes = fit(plan, snapshot, needed(plan, 16, 1) // 4)
    held = rank_bytes(cut, "train", 1, row_bytes, ordered=True)
    expected = expected_reading(cut, "train", row_bytes=row_bytes, budget_bytes=held, ordered=True)
    reader = WindowReader(snapshot, cut, ("x", "y"), held)
    with WindowStream(cut, reader, "train", seed=0, batch_size=64, ordered=True) as stream:
        count = sum(len(batch) for batch in stream)
        assert stream.read_amplification == expected.amplification
    assert count == cut.windows("train")
    halo = (cut.window.length - 1) / cut.order.superblock_rows
    assert 1 < expected.amplification <= 1 + 1.3 * halo

    def windows(of):
        batches = drain(of, WindowReader(snapshot, of, ("x", "y")), "train", ranks=1, seed=1, batch_size=32)
        return sorted(window[1:] for *_, found in batches for window in found)

    assert windows(cut) == windows(plan)


def test_a_frozen_plan_keeps_its_superblocks():
    snapshot = table(500)
    plan = planned(snapshot)
    cut, _ = fit(plan, snapshot, needed(plan, 16, 1) // 4)
    again = type(cut).from_bytes(cut.to_bytes())
    assert again.order == cut.order
    assert np.array_equal(again.superblocks.first, cut.superblocks.first)


def test_a_table_on_disk_is_cut_by_its_pages(tmp_path):
    rows = 400_000
    deltalake.write_deltalake(
        str(tmp_path / "long"),
        pa.table(
            {
                "t": np.arange(rows),
                **{f"x{n}": np.random.default_rng(n).random(rows, np.float32) for n in range(4)},
            }
        ),
    )
    windows = open_windows(
        str(tmp_path / "long"),
        context=96,
        horizon=24,
        stride=120,
        time="t",
        memory_mib=4,
        order=OrderSpec(lanes=8),
    )
    assert windows.plan.order.superblock_rows
    with windows.stream(batch_size=64, seed=1) as stream:
        assert sum(len(batch) for batch in stream) == windows.plan.windows("train")


def test_rows_out_of_order_that_memory_cannot_keep_are_told(tmp_path):
    rows = np.random.default_rng(3).permutation(100_000)
    deltalake.write_deltalake(
        str(tmp_path / "mixed"),
        pa.table({"e": rows % 20, "t": rows // 20, **{f"x{n}": rows * 0.5 for n in range(4)}}),
    )

    def opened(memory_mib):
        return open_windows(
            str(tmp_path / "mixed"),
            context=20,
            horizon=5,
            stride=25,
            time="t",
            entity="e",
            memory_mib=memory_mib,
        )

    def loads(windows):
        with windows.stream(batch_size=64) as stream:
            assert sum(len(batch) for batch in stream) == windows.plan.windows("train")
        return windows.reader.loads

    with pytest.warns(UserWarning, match=r"its row groups \(1, cut .* `carousel tables cluster`") as told:
        little = opened(2)
    (warning,) = told
    assert warning.filename == __file__
    assert loads(little) > 10
    enough = int(re.search(r"give memory_mib=(\d+)", str(warning.message))[1])
    assert loads(opened(enough)) == 1  # a warning is an error here


@pytest.mark.parametrize(
    ("lanes", "ranks", "tried"), [(48, 1, [48, 24, 12, 8]), (48, 10, [48, 24, 12, 10]), (6, 1, [6])]
)
def test_the_fewest_lanes_are_tried_too(lanes, ranks, tried):
    assert [order.lanes for order in _smaller(OrderSpec(lanes=lanes, pool=1), ranks)] == tried
