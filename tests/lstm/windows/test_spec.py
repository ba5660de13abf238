"""What a user says of windows, splits and order: taken as meant, or refused in words, before any work."""

import json
import tracemalloc

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
)

from .conftest import in_groups
from .memory_table import MemorySnapshot

WRONG = [
    (WindowSpec, {"context": "3", "horizon": 1}, "context must be a whole number of rows, got '3'"),
    (WindowSpec, {"context": 3, "horizon": 0}, "horizon must be >= 1 row, got 0"),
    (WindowSpec, {"context": 3, "horizon": 1, "stride": 10**30}, "stride must be <= 281,474,976,710,656"),
    (OrderSpec, {"lanes": 2.5}, "lanes must be a whole number, got 2.5"),
    (OrderSpec, {"lanes": "5"}, "lanes must be a whole number, got '5'"),
    (OrderSpec, {"lanes": 10**9}, "lanes must be <= 65,536, got 1,000,000,000"),
    (OrderSpec, {"pool": None}, "pool must be a whole number, got None"),
    (OrderSpec, {"superblock_rows": 1.5}, "superblock_rows must be a whole number"),
    (OrderSpec, {"temperature": "hot"}, "temperature must be > 0, got 'hot'"),
    (OrderSpec, {"weights": ["a"]}, "weights must be a mapping"),
    (OrderSpec, {"weights": {"a": "b"}}, "weights must be from 0 to 1,000, got 'b' for 'a'"),
    (SplitSpec, {"validation": None}, r"validation must be a share in \[0, 1\), got None"),
    (SplitSpec, {"embargo_rows": 1.5}, "embargo_rows must be a whole number, got 1.5"),
    (SplitSpec, {"test_names": "abc"}, r"test_names must be a list of entities, got 'abc': write \['abc'\]"),
]


@pytest.mark.parametrize(("spec", "given", "message"), WRONG, ids=lambda it: str(it)[:40])
def test_what_makes_no_sense_is_refused_in_words(spec, given, message):
    with pytest.raises(ValueError, match=message):
        spec(**given)


@pytest.mark.parametrize("kind", [int, np.int32, np.int64])
def test_integers_of_any_kind_are_taken(kind):
    window = WindowSpec(context=kind(3), horizon=kind(2), stride=kind(1))
    order = OrderSpec(lanes=kind(4), pool=kind(2), superblock_rows=kind(7), weights={kind(1): 2.0})
    split = SplitSpec(
        embargo_rows=kind(1), validation_from=kind(20), test_from=kind(30), test_names=[kind(2)]
    )
    assert window == WindowSpec(context=3, horizon=2)
    assert order == OrderSpec(lanes=4, pool=2, superblock_rows=7, weights={"1": 2.0})
    assert split == SplitSpec(embargo_rows=1, validation_from="20", test_from="30", test_names=("2",))
    table = pa.table({"e": np.repeat([1, 2], 50), "t": np.tile(np.arange(50), 2)})
    plan = make_plan(index_snapshot(MemorySnapshot([[table]]), entity="e", time="t"), window, split, order)
    assert json.dumps([plan.order.to_json(), plan.split.to_json()])
    held_out = plan.windows("test")
    assert held_out > 46 - 1  # all of entity 2, and the test's share of 1


def test_a_stream_takes_no_more_memory_than_it_set_aside_whatever_the_pool():
    rows = 20_000
    table = pa.table({"t": np.arange(rows), "x": np.ones(rows, np.float32)})
    snapshot = in_groups(table, 100)
    plan = make_plan(
        index_snapshot(snapshot, entity=None, time="t"),
        WindowSpec(context=4, horizon=2),
        SplitSpec(validation=0, test=0),
        OrderSpec(pool=10**9),
    )
    reader = WindowReader(snapshot, plan, ("x",))
    tracemalloc.start()
    with WindowStream(plan, reader, "train", seed=0, batch_size=64) as stream:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        reserved = reader.budget_bytes - reader.unreserved
        assert most < 2 * reserved
        assert sum(len(batch) for batch in stream) == rows - 5
