"""Series whose rows alternate between row groups: cut finer, within bounds, and never if a key repeats."""

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import (
    Column,
    OrderSpec,
    SplitSpec,
    WindowReader,
    WindowSpec,
    index_snapshot,
    make_plan,
)
from lstm.windows.errors import DuplicateRows, UnsortedTable
from lstm.windows.index import untangle
from storage.objects import Bucket

from .memory_table import MemorySnapshot


def rows(times, name="a", values=None):
    values = np.arange(len(times), dtype=np.float64) if values is None else values
    return pa.table({"name": [name] * len(times), "t": times, "x": pa.array(values, pa.float64())})


def index_of(*groups, **options):
    snapshot = MemorySnapshot([[group] for group in groups])
    return index_snapshot(snapshot, entity="name", time="t", **options)


def plan_of(index, length=3):
    window = WindowSpec(context=length - 1, horizon=1)
    return make_plan(index, window, SplitSpec(validation=0, test=0), OrderSpec(lanes=2))


def test_pieces_are_cut_where_another_row_group_has_a_row_between():
    index = index_of(rows([1, 2, 5, 6, 9]), rows([3, 4, 7]))
    found = index.pieces
    assert found.rows.tolist() == [2, 2, 1, 2, 1]
    assert (found.first_time.tolist(), found.last_time.tolist()) == ([1, 5, 9, 3, 7], [2, 6, 9, 4, 7])
    assert index.interval == 1
    assert plan_of(index, length=8).windows("train") == 1


def test_series_that_do_not_alternate_stay_as_they_are():
    straight = rows(list(range(100)), "b")
    both = pa.concat_tables([rows([1, 3, 5]), straight])
    index = index_of(both, rows([2, 4, 6]))
    of_b = index.pieces.series == index.series.index("b")
    assert index.pieces.rows[of_b].tolist() == [100]


@pytest.mark.parametrize("bound", ["MOST_ROWS", "MOST_PIECES"])
def test_beyond_its_bounds_a_table_is_refused_with_the_remedy(monkeypatch, bound):
    monkeypatch.setattr(untangle, bound, 3)
    index = index_of(rows([1, 3, 5]), rows([2, 4, 6]))
    told = "alternate between row group 0 of .*/0.parquet and row group 0 of .*/1.parquet: one holds 1 to 5"
    with pytest.raises(UnsortedTable, match=f"{told}.* tables cluster"):
        plan_of(index)


def test_whoever_wants_rows_in_order_is_told_that_they_are_not():
    with pytest.raises(UnsortedTable):
        plan_of(index_of(rows([1, 3, 5]), rows([2, 4, 6]), sort=False))


def test_a_row_that_stands_in_two_row_groups_is_refused():
    with pytest.raises(DuplicateRows, match="2 rows of name 'a' have the same time 3"):
        plan_of(index_of(rows([1, 3, 5]), rows([2, 3, 6])))


def test_missing_values_are_filled_from_the_row_before_whatever_row_group_has_it(s3_server):
    cache = Bucket("untangled", s3_server.access)
    cache.create()
    columns = [Column(name="x", nulls="forward_fill")]
    one = rows([1, 3, 5, 7], values=[1.0, None, None, 7.0])
    for other, expected in (
        (rows([9, 10], values=[9.0, 10.0]), [1, 1, 1, 7, 9, 10]),
        (rows([2, 4], values=[2.0, None]), [1, 2, 2, 2, 2, 7]),
        (rows([2, 6], values=[2.0, 6.0]), [1, 2, 2, 2, 6, 7]),
    ):  # the first file is the same in all, its pieces are not: the cache must not mix them up
        for _ in range(2):
            index = index_of(one, other, columns=columns, cache=cache)
            plan = plan_of(index, length=6)
            reader = WindowReader(index.snapshot, plan, columns)
            assert reader.read(np.array([0]), 6).values[:, 0].tolist() == expected
