"""What a person is told of a plan before a training: another order than was asked for is not hidden."""

from datetime import timedelta

import pytest

from lstm.windows import OrderSpec, SplitSpec, WindowSpec, index_snapshot, make_plan
from pipelines.runs.preparation import plan_line
from tests.lstm.windows.conftest import in_groups, sorted_table


def line(order, asked):
    index = index_snapshot(in_groups(sorted_table(), 5), entity="name", time="t")
    return plan_line(make_plan(index, WindowSpec(context=4, horizon=2), SplitSpec(), order), asked)


def test_an_order_as_asked_for_is_not_mentioned():
    asked = OrderSpec(lanes=2, pool=4)
    told = line(asked, asked)
    assert "80 rows, 2 series, 2 segments" in told
    assert "memory" not in told


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (OrderSpec(lanes=4, pool=1), "4 lanes, pools of 1 superblocks"),
        (OrderSpec(lanes=2, pool=2), "2 lanes, pools of 2 superblocks"),
        (OrderSpec(lanes=4, pool=4, superblock_rows=3), "4 lanes, pools of 4 superblocks of 3 rows at most"),
    ],
)
def test_smaller_pools_fewer_lanes_and_smaller_superblocks_are_told(order, told):
    assert line(order, OrderSpec(lanes=4, pool=4)).endswith(f"; to fit into memory: {told}")


def test_rows_that_a_grid_adds_are_told_with_their_number():
    rows = sorted_table().take([row for row in range(80) if row % 10 != 4])
    index = index_snapshot(in_groups(rows, 5), entity="name", time="t", grid=timedelta(hours=1))
    order = OrderSpec(lanes=2)
    told = plan_line(make_plan(index, WindowSpec(context=4, horizon=2), SplitSpec(), order), order)
    assert told.startswith("80 rows, 2 series, 2 segments; ")
    assert told.endswith(
        "; 8 of the rows (10.0%) are not in the table: the grid of 1:00:00 adds them without values"
    )
