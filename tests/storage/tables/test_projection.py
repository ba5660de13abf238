"""What a file's type may become, and what it may not."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.tables.columns import Column, list_of, struct_of
from storage.tables.errors import UnsupportedTable
from storage.tables.projection import convert, promote

UTC = pa.timestamp("us", "UTC")
WIDER = [
    ([1, None, -128], pa.int8(), pa.int16()),
    ([1, 2**31 - 1], pa.int32(), pa.int64()),
    ([255], pa.uint8(), pa.int16()),
    ([1, -(2**31)], pa.int32(), pa.float64()),
    ([1.5, None], pa.float16(), pa.float32()),
    ([0.1, float("inf")], pa.float32(), pa.float64()),
    ([7], pa.int32(), pa.decimal128(12, 2)),
    ([Decimal("1.25")], pa.decimal128(5, 2), pa.decimal128(10, 4)),
    ([0], pa.date32(), pa.timestamp("us")),
    ([0], pa.date32(), UTC),
    ([5], pa.timestamp("ms"), UTC),
    ([5000], pa.timestamp("ns", "UTC"), UTC),
    (["ä"], pa.large_string(), pa.string()),
    ([b"abc"], pa.binary(), pa.string()),
    ([b"ab"], pa.binary(2), pa.binary()),
    ([None], pa.null(), pa.string()),
]
NARROWER = [
    ([1], pa.int64(), pa.int32()),
    ([1], pa.uint32(), pa.int32()),
    ([1], pa.int64(), pa.float64()),
    ([1], pa.int32(), pa.float32()),
    ([1.0], pa.float64(), pa.float32()),
    ([1.0], pa.float64(), pa.int64()),
    ([1], pa.int32(), pa.decimal128(10, 2)),
    ([Decimal("1.25")], pa.decimal128(5, 2), pa.decimal128(5, 1)),
    ([1], pa.int32(), pa.bool_()),
    ([1], pa.int64(), UTC),
    (["1"], pa.string(), pa.int64()),
    ([1], pa.int64(), pa.string()),
]


@pytest.mark.parametrize(("values", "source", "target"), WIDER)
def test_wider_types_keep_every_value(values, source, target):
    before = pa.array(values, source)
    after = promote(before, target, "c")
    assert after.type == target
    if not pa.types.is_temporal(source) and not pa.types.is_binary(source):
        assert [None if it is None else type(it)(it) for it in after.to_pylist()] == after.to_pylist()
        assert all(a == b for a, b in zip(after.to_pylist(), before.to_pylist(), strict=True))


@pytest.mark.parametrize(("values", "source", "target"), NARROWER)
def test_other_type_changes_are_refused_by_name(values, source, target):
    with pytest.raises(UnsupportedTable, match="'c'"):
        promote(pa.array(values, source), target, "c")


@pytest.mark.parametrize(
    ("values", "source", "target"),
    [([1001], pa.timestamp("ns", "UTC"), UTC), ([b"\xff"], pa.binary(), pa.string())],
)
def test_values_that_the_wider_type_cannot_hold_are_refused(values, source, target):
    with pytest.raises(UnsupportedTable, match="cannot"):
        promote(pa.array(values, source), target, "c")


def _nested() -> Column:
    """list<struct<a: int64, b: string>>, where files may hold b first, int32, and other fields."""
    fields = (Column("a", pa.int64(), physical="p"), Column("b", pa.string(), physical="q"))
    element = Column("element", struct_of(fields), physical="element", children=fields)
    return Column("c", list_of(element), physical="c", children=(element,))


Item = st.none() | st.fixed_dictionaries(
    {"q": st.none() | st.text(max_size=3), "x": st.booleans(), "p": st.none() | st.integers(-9, 9)}
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.lists(Item, max_size=3), max_size=8), st.integers(0, 3), st.booleans())
def test_nested_columns_are_found_by_name_at_every_level(values, start, large):
    struct = pa.struct([("q", pa.string()), ("x", pa.bool_()), ("p", pa.int32())])
    source = pa.large_list(struct) if large else pa.list_(struct)
    chunk = pa.array(values, source)
    found = convert(
        pa.chunked_array([chunk.slice(start), chunk]), pa.field("c", source), _nested(), by_id=False
    )

    def expected(row):
        if row is None:
            return None
        return [None if it is None else {"a": it["p"], "b": it["q"]} for it in row]

    assert found.type == _nested().type
    assert found.to_pylist() == [expected(row) for row in [*values[start:], *values]]


def test_maps_and_fixed_size_lists_are_converted():
    key, value = Column("key", pa.string(), False, "key"), Column("value", pa.int64(), physical="value")
    column = Column("m", pa.map_(pa.string(), pa.int64()), children=(key, value))
    source = pa.map_(pa.string(), pa.int32())
    values = pa.chunked_array([pa.array([[("a", 1)], None, [("b", None), ("c", 2)]], source)])
    assert convert(values, pa.field("m", source), column, by_id=False).to_pylist() == values.to_pylist()
    element = Column("element", pa.float64(), physical="element")
    fixed = pa.list_(pa.float32(), 2)
    column = Column("f", list_of(element), children=(element,))
    values = pa.chunked_array([pa.array([[1.0, 2.0], None], fixed)])
    assert convert(values, pa.field("f", fixed), column, by_id=False).to_pylist() == [[1.0, 2.0], None]
