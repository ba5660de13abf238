"""Blocks of files: a snapshot's index comes by few requests, whatever was appended, removed or damaged."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import index_snapshot
from lstm.windows.errors import UnsortedTable
from lstm.windows.index import index_cache
from lstm.windows.index.file_index import FileIndex

from .memory_table import MemorySnapshot
from .test_index import MemoryBucket, same

FILES = 80


class CountedBucket(MemoryBucket):
    def __init__(self):
        super().__init__()
        self.asked = Counter()

    def get(self, key):
        self.asked["get"] += 1
        return super().get(key)

    def put(self, key, data):
        self.asked["put"] += 1
        assert self.objects.get(key, data) == data, "two writers of one name differ"
        return super().put(key, data)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(index_cache, "LEVELS", (16, 4))


def files(count: int) -> list[list[pa.Table]]:
    """Each holds an hour of three of four series, in two row groups."""
    made = []
    for hour in range(count):
        names = [f"s{(hour + it) % 4}" for it in range(3)]
        times = pa.array(np.full(3, hour) * 3_600_000_000, pa.timestamp("us", "UTC"))
        rows = pa.table({"name": names, "t": times, "x": np.arange(3.0)})
        made.append([rows.slice(0, 2), rows.slice(2)])
    return made


class Snapshot(MemorySnapshot):
    """Names a file by its content, wherever it stands."""

    def __init__(self, tables):
        super().__init__(tables)
        names = {file.identity: file.identity.partition("@")[2] for file in self.files}
        self.files = tuple(replace(file, identity=names[file.identity]) for file in self.files)
        self._groups = {names[identity]: groups for identity, groups in self._groups.items()}


def indexed(tables, cache=None):
    return index_snapshot(Snapshot(tables), entity="name", time="t", cache=cache)


def requests_for(tables, cache) -> int:
    cache.asked.clear()
    assert same(found := indexed(tables, cache), indexed(tables))
    assert found.scanned == 0
    assert cache.asked["put"] == 0
    return cache.asked["get"]


@pytest.fixture
def cache() -> CountedBucket:
    made = CountedBucket()
    assert indexed(files(FILES), made).scanned == FILES
    return made


def test_a_known_snapshot_is_read_by_few_requests(cache):
    assert requests_for(files(FILES), cache) < FILES / 3


@pytest.mark.parametrize("change", ["append", "remove", "compact"])
def test_a_change_rewrites_only_the_blocks_around_it(cache, change):
    tables = files(FILES)
    if change == "append":
        tables = files(FILES + 1)
    elif change == "remove":
        del tables[FILES // 2]
    else:
        first, second = tables[30], tables[31]
        tables[30:32] = [[*first, *second]]
    cache.asked.clear()
    found = indexed(tables, cache)
    assert found.scanned == {"append": 1, "remove": 0, "compact": 1}[change]
    assert same(found, indexed(tables))
    assert cache.asked["get"] < FILES
    assert cache.asked["put"] <= 4
    assert requests_for(tables, cache) < FILES / 3


def test_a_damaged_block_is_made_again_from_its_files(cache):
    several = [key for key, data in cache.objects.items() if b"file_groups" in data]
    assert len(several) > 5
    whole = {key: cache.objects[key] for key in several}
    for number, key in enumerate(several):
        cache.objects[key] = [whole[key][:-40], b"{}", FileIndex.to_bytes(_empty())][number % 3]
        broken = cache.objects[key]
        cache.put = lambda key, data: cache.objects.__setitem__(key, bytes(data)) or "etag"
        assert same(indexed(files(FILES), cache), indexed(files(FILES)))
        assert cache.objects[key] in (whole[key], broken)  # a block inside a larger one is not looked at
        cache.objects[key] = whole[key]


def _empty() -> FileIndex:
    return FileIndex(
        file_groups=np.array([1]),
        group_rows=np.array([0]),
        entities=[],
        entity=np.empty(0, np.int32),
        rows=np.empty(0, np.int32),
        first_time=np.empty(0, np.int64),
        last_time=np.empty(0, np.int64),
        regular=np.empty(0, np.bool_),
        steps={},
    )


def test_tables_of_several_writers_share_blocks_and_writers_agree_on_every_byte(cache):
    before = dict(cache.objects)
    other = CountedBucket()
    indexed(files(FILES), other)
    assert other.objects == before


def alternating(hours: range) -> list[pa.Table]:
    """A file with rows of two series in order of time alone."""
    times = pa.array(np.repeat(hours, 2) * 3_600_000_000, pa.timestamp("us", "UTC"))
    names = ["s0", "s1"] * len(hours)
    return [pa.table({"name": names, "t": times, "x": np.arange(2.0 * len(hours))})]


@pytest.mark.parametrize("unsorted", [{3}, {FILES + 1}, {0, 40}, set(range(FILES + 2))], ids=str)
def test_that_rows_are_out_of_order_is_found_out_once(unsorted):
    hours = [range(5 * file, 5 * file + 5) for file in range(FILES + 2)]
    tables = [
        [alternating(some)[0] if file in unsorted else alternating(some)[0].sort_by("name")]
        for file, some in enumerate(hours)
    ]
    cache = CountedBucket()
    first = indexed(tables, cache)
    assert first.keys.sorts
    assert first.scanned == len(tables)
    cache.asked.clear()
    reopened = Snapshot(tables)
    again = index_snapshot(reopened, entity="name", time="t", cache=cache)
    assert (again.scanned, reopened.reads.total(), cache.asked["put"]) == (0, 0, 0)
    assert again.keys.sorts
    assert same(again, first)
    with pytest.raises(UnsortedTable, match="tables cluster"):
        index_snapshot(reopened, entity="name", time="t", cache=cache, sort=False)
    assert not reopened.reads


def test_a_file_out_of_order_that_is_appended_is_the_only_one_that_is_looked_at_twice():
    tables = [[alternating(range(5 * it, 5 * it + 5))[0].sort_by("name")] for it in range(FILES)]
    cache = CountedBucket()
    indexed(tables, cache)
    grown = Snapshot([*tables, alternating(range(5 * FILES, 5 * FILES + 5))])
    found = index_snapshot(grown, entity="name", time="t", cache=cache)
    assert found.scanned == FILES + 1  # each as it is sorted
    reads = Counter(path for path, _, _ in grown.reads.elements())
    assert [path for path, count in reads.items() if count > 1] == [grown.files[-1].path]
    assert index_snapshot(grown, entity="name", time="t", cache=cache).scanned == 0
