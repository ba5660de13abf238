"""Some rows of a row group, fetched page by page."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.local_files import LocalFiles
from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.parquet import ParquetSource
from storage.tables.ranged import Meter, Place
from storage.tables.thrift import BadThrift, read_struct, write_struct

ROWS = 3_000


def opened(path):
    place = Place(LocalFiles(), str(path).removeprefix("/"), path.stat().st_size, "a snapshot", Meter())
    return ParquetSource(place), place.meter


def content(rows: int) -> pa.Table:
    draw = np.random.default_rng(0)
    some = draw.random(rows) < 0.9
    return pa.table(
        {
            "float": pa.array(draw.standard_normal(rows).astype(np.float32), mask=~some),
            "whole": draw.integers(-(1 << 62), 1 << 62, rows),
            "small": pa.array(np.arange(rows) // 7 % 5, pa.int8()),
            "flag": pa.array(draw.random(rows) < 0.5, mask=some),
            "when": pa.array(np.arange(rows) * 3_600_000_000, pa.timestamp("us", "UTC")),
            "name": pa.array([f"sensor {n}" for n in draw.integers(0, 40, rows)]),
            "category": pa.array([f"c{n}" for n in draw.integers(0, 9, rows)]).dictionary_encode(),
            "tokens": pa.array([list(range(n % 6)) if n % 11 else None for n in range(rows)]),
            "frame": pa.array(draw.random((rows, 4)).tolist(), pa.list_(pa.float32(), 4)),
            "nested": pa.array([{"a": n, "b": {"c": str(n)}} if n % 13 else None for n in range(rows)]),
        }
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """One file per way of writing."""
    folder, table = tmp_path_factory.mktemp("pages"), content(ROWS)
    ways = {
        "plain": {"use_dictionary": False},
        "dictionaries": {"use_dictionary": True, "compression": "zstd"},
        "second version": {"data_page_version": "2.0", "compression": "snappy"},
        "one page": {"data_page_size": 1 << 30},
        "no index": {"write_page_index": False},
    }
    for name, way in ways.items():
        small = {
            "data_page_size": 500,
            "write_batch_size": 50,
            "write_page_index": True,
            "row_group_size": 1_700,
        }
        pq.write_table(table, folder / f"{name}.parquet", **(small | way))
    return table, {name: folder / f"{name}.parquet" for name in ways}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_some_rows_are_those_of_the_whole(tables, data):
    table, paths = tables
    source, _ = opened(paths[data.draw(st.sampled_from(sorted(paths)))])
    group = data.draw(st.integers(0, 1))
    rows = (1_700, ROWS - 1_700)[group]
    first = data.draw(st.integers(0, rows))
    count = data.draw(st.integers(0, rows - first))
    positions = data.draw(st.lists(st.integers(0, table.num_columns - 1), min_size=1, max_size=5))
    found = source.read_rows(group, positions, first, count)
    for position, column in zip(positions, found, strict=True):
        expected = table.column(position).slice(group * 1_700 + first, count)
        assert column.type == expected.type
        assert column.to_pylist() == expected.to_pylist()


def test_only_pages_that_hold_them_come_over_the_wire(tables):
    _, paths = tables
    source, meter = opened(paths["plain"])
    before = meter.traffic.fetched
    source.page_rows(0, [1])
    index = meter.traffic.fetched - before
    source.read_rows(0, [1], 800, 60)
    fetched = meter.traffic.fetched - before - index
    assert 60 * 8 <= fetched <= 3 * 60 * 8 + 200, "60 rows of 8 bytes, in pages of 500 bytes"
    assert index < 4_000


def test_the_largest_page_is_told_and_without_an_index_none(tables):
    _, paths = tables
    assert 50 <= opened(paths["plain"])[0].page_rows(0, [1, 4]) <= 150
    assert opened(paths["one page"])[0].page_rows(0, [1]) == 1_700
    assert opened(paths["no index"])[0].page_rows(0, [1]) is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_index_or_page_is_told_or_harmless(tables, tmp_path, data):
    table, paths = tables
    path = tmp_path / "damaged.parquet"
    content = bytearray(paths["dictionaries"].read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")  # Arrow's own affair
    begin = data.draw(st.sampled_from([0, footer - 6_000]))  # anywhere, or where the indexes lie
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(begin, footer - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        source, _ = opened(path)
        for position in range(table.num_columns):
            (column,) = source.read_rows(0, [position], 300, 40)
            assert len(column) == 40
    except (SnapshotDamaged, UnsupportedTable, pa.ArrowException):  # the last one: no text, say
        pass


def test_metadata_come_back_as_they_were(tables):
    _, paths = tables
    for path in paths.values():
        data = path.read_bytes()
        footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
        fields, end = read_struct(footer)
        assert end == len(footer)
        assert write_struct(fields) == footer


@given(st.binary(max_size=80))
def test_what_is_no_struct_is_refused(data):
    try:
        fields, end = read_struct(data)
    except BadThrift:
        return
    assert end <= len(data)
    assert read_struct(write_struct(fields))[0] == fields or "nan" in repr(fields)
