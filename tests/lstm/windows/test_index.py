"""Only keys are scanned, only of files that are new, one small record per piece."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import index_snapshot
from lstm.windows.index.file_index import FileIndex
from storage.objects import NotFound, Object

from .conftest import HOUR, in_groups, sorted_table
from .memory_table import MemorySnapshot


class MemoryBucket:
    """As much of a bucket as a cache needs."""

    def __init__(self):
        self.objects = {}

    def get(self, key):
        if key not in self.objects:
            raise NotFound(key)
        return Object(self.objects[key], "etag")

    def put(self, key, data):
        self.objects[key] = bytes(data)
        return "etag"


def two_files():
    table = sorted_table(hours=40)
    return [[table.slice(0, 40)], [table.slice(40, 40)]]


def same(one, other):
    return all(
        np.array_equal(getattr(one.pieces, name), getattr(other.pieces, name))
        for name in ("group_file", "group_number", "group_rows", "series", "rows", "first_time", "last_time")
    ) and (one.series, one.interval) == (other.series, other.interval)


def test_a_new_snapshot_scans_only_the_files_it_adds():
    cache, files = MemoryBucket(), two_files()
    first = index_snapshot(MemorySnapshot(files[:1]), entity="name", time="t", cache=cache)
    assert first.scanned == 1
    grown = MemorySnapshot(files, version="2")
    second = index_snapshot(grown, entity="name", time="t", cache=cache)
    assert second.scanned == 1
    assert {path for path, _, _ in grown.reads} == {grown.files[1].path}
    again = index_snapshot(MemorySnapshot(files), entity="name", time="t", cache=cache)
    assert again.scanned == 0
    assert same(again, second)
    assert same(again, index_snapshot(MemorySnapshot(files), entity="name", time="t"))


@pytest.mark.parametrize(
    "other",
    [{"max_gap": timedelta(hours=2)}, {"entity": None, "files": 1}, {"max_gap": timedelta(hours=3)}],
    ids=str,
)
def test_an_index_for_other_keys_is_another_one(other):
    cache, files = MemoryBucket(), two_files()[: other.pop("files", 2)]
    keys = {"entity": "name", "time": "t", "max_gap": timedelta(hours=4)}
    index_snapshot(MemorySnapshot(files), cache=cache, **keys)
    assert index_snapshot(MemorySnapshot(files), cache=cache, **keys | other).scanned == len(files)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\x00", b'{"format":1}', b'{"format":0}', b"[]"])
def test_a_damaged_index_is_made_again(damage):
    cache, files = MemoryBucket(), two_files()
    expected = index_snapshot(MemorySnapshot(files), entity="name", time="t", cache=cache)
    (name, good), *_ = cache.objects.items()
    cache.objects[name] = damage
    assert same(index_snapshot(MemorySnapshot(files), entity="name", time="t", cache=cache), expected)
    assert cache.objects[name] == good


def test_a_file_index_survives_its_text():
    cache = MemoryBucket()
    index_snapshot(MemorySnapshot(two_files()), entity="name", time="t", cache=cache)
    for data in cache.objects.values():
        assert FileIndex.from_bytes(data).to_bytes() == data


def test_only_keys_are_read_and_one_record_is_kept_per_piece():
    snapshot = in_groups(sorted_table(hours=5000), 1000)
    index = index_snapshot(snapshot, entity="name", time="t", max_gap=timedelta(hours=1))
    assert {columns for _, _, columns in snapshot.reads} == {("name", "t")}
    pieces = index.pieces
    assert len(pieces) == 10
    assert sum(a.itemsize for a in (pieces.series, pieces.rows, pieces.first_time, pieces.last_time)) == 24
    assert index.interval == HOUR


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.timestamp("s"), [0, 1], [0, 1_000_000]),
        (pa.timestamp("ns", "UTC"), [1000, 2000], [1, 2]),
        (pa.timestamp("ms", "Europe/Berlin"), [1, 2], [1000, 2000]),
        (pa.date32(), [0, 1], [0, 24 * HOUR]),
        (pa.int16(), [-7, 9], [-7, 9]),
        (pa.uint64(), [0, 2**62], [0, 2**62]),
    ],
    ids=str,
)
def test_times_become_microseconds_and_integers_stay(kind, values, expected):
    table = pa.table(
        {"t": pa.array(values).cast(pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)}
    )
    pieces = index_snapshot(in_groups(table, 1), entity=None, time="t").pieces
    assert pieces.first_time.tolist() == expected


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["b", "a", "é"]).dictionary_encode(),
        pa.array(["b", "a", "é"], pa.string_view()),
        pa.array(["b", "a", "é"], pa.large_string()),
    ],
    ids=lambda column: str(column.type),
)
def test_series_are_numbered_by_the_order_of_their_names(column):
    table = pa.table({"name": column, "t": [1, 1, 1]})
    index = index_snapshot(in_groups(table, 3), entity="name", time="t")
    assert index.series == ("a", "b", "é")
    assert index.pieces.series.tolist() == [1, 0, 2]
