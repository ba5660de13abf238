"""Long footers: their row groups are taken apart one at a time, and read as from a short one."""

import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.local_files import LocalFiles
from storage.tables import footer as footers
from storage.tables import snapshot as snapshots
from storage.tables.errors import SnapshotDamaged
from storage.tables.footer import Footer
from storage.tables.parquet import _REFUSED, ParquetSource
from storage.tables.ranged import Meter, Place
from storage.tables.thrift import BadThrift, read_struct

GROUPS, ROWS = 300, 3
NAMES = ("a", "b", "c", "d")


def table() -> pa.Table:
    rows = GROUPS * ROWS - 1  # the last row group is shorter
    random = np.random.default_rng(0)
    numbers = {name: random.integers(0, 1 << 60, rows) for name in NAMES[:3]}
    words = [None if i % 7 == 0 else "é" * (i % 90) for i in range(rows)]
    return pa.table(numbers | {"d": words})


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The rows, and a file of them in many row groups."""
    path = tmp_path_factory.mktemp("footers") / "a.parquet"
    pq.write_table(table(), path, row_group_size=ROWS, write_page_index=True)
    return table(), path


def opened(path) -> ParquetSource:
    return ParquetSource(
        Place(LocalFiles(), str(path).removeprefix("/"), path.stat().st_size, "a snapshot", Meter())
    )


def footer_of(path) -> bytes:
    data = path.read_bytes()
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def test_row_groups_of_a_long_footer_are_read_as_arrow_reads_them(stored):
    rows, path = stored
    assert len(footer_of(path)) > footers._LONG
    source = opened(path)
    assert source.row_groups == (*[ROWS] * (GROUPS - 1), ROWS - 1)
    for group in (0, 1, 150, GROUPS - 1):
        expected = rows.slice(group * ROWS, ROWS)
        for position, column in enumerate(source.read(group, range(4))):
            assert column.to_pylist() == expected.column(position).to_pylist()
        (part,) = source.read_rows(group, [1], 1, 1)
        assert part.to_pylist() == expected.column(1).slice(1, 1).to_pylist()


def test_a_long_footer_tells_the_same_as_a_short_one(stored, monkeypatch):
    data = footer_of(stored[1])
    long = Footer(data)
    monkeypatch.setattr(footers, "_LONG", len(data) + 1)
    short = Footer(data)
    assert long.row_groups == short.row_groups
    for group in range(0, GROUPS, 13):
        assert long.group(group) == short.group(group)
        (one, number), (whole, same) = long.of(group), short.of(group)
        assert one.row_group(number).to_dict() == whole.row_group(same).to_dict()
        assert one.schema.equals(whole.schema)
        assert one.metadata == whole.metadata
    assert long.without_groups() == short.without_groups()


def test_a_long_footer_takes_no_more_than_its_bytes_and_its_places():
    sink = io.BytesIO()
    rows = pa.table({f"x{number}": np.arange(2_000.0) for number in range(10)})
    pq.write_table(rows, sink, row_group_size=1)
    data = sink.getvalue()
    data = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        footer = Footer(data)
        for group in range(0, 2_000, 10):
            footer.group(group)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) > 1 << 20
    assert held - before < len(data) // 2, "8 row groups as Python's structs, and 2,000 places"
    assert peak - before < len(data)
    assert footer.nbytes == len(data)


def test_of_a_wide_file_one_row_group_stays_taken_apart():
    sink = io.BytesIO()
    rows = pa.table({f"x{number}": [1.0] * 6 for number in range(700)})
    pq.write_table(rows, sink, row_group_size=1)
    data = sink.getvalue()
    footer = Footer(data[-8 - int.from_bytes(data[-8:-4], "little") : -8])
    footer.group(0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for group in range(1, 6):
            footer.group(group)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held < 2 * 700 * 5_000, "about 4,700 bytes for each column chunk of one row group, not of six"
    assert footer.group(5) is footer.group(5)


@pytest.mark.parametrize("depth", [40, 100_000])
@pytest.mark.parametrize("read", [Footer, read_struct])
def test_lists_in_lists_in_a_hostile_footer_are_refused(stored, read, depth):
    data = footer_of(stored[1])
    nested = b"\x09\xc8\x01" + b"\x19" * depth + b"\x05\x00"  # field 100: a list of one list of one ...
    with pytest.raises(BadThrift, match="more than 32 deep"):
        read(data[:-1] + nested + b"\x00")


@given(data=st.data())
def test_a_damaged_long_footer_is_told(stored, data):
    whole = bytearray(footer_of(stored[1]))
    end = data.draw(st.integers(footers._LONG, len(whole)))
    changes = data.draw(st.integers(0, 3))
    for _ in range(changes):
        whole[data.draw(st.integers(0, 2_000))] = data.draw(st.integers(0, 255))
    try:
        footer = Footer(bytes(whole[:end]))
        for group in (0, len(footer.row_groups) - 1):
            footer.of(group)
    except _REFUSED:  # BadThrift is one
        return
    assert changes or end == len(whole), "what is cut short is not taken for whole"


def test_a_footer_without_row_groups_or_with_two_lists_of_them_is_refused(stored):
    data = footer_of(stored[1])
    fields, _ = read_struct(data)
    list_at = data.index(b"\x19\xfc")  # the header of field 4, then of more than 14 structs
    assert fields[4].value.type == 12
    with pytest.raises(BadThrift, match="list of row groups"):
        Footer(data[:list_at] + b"\x18" + data[list_at + 1 :])
    with pytest.raises(BadThrift):
        Footer(b"\x00" * (footers._LONG + 1))


def test_a_damaged_row_group_names_the_file_when_it_is_read(stored, tmp_path):
    content = bytearray(stored[1].read_bytes())
    data = footer_of(stored[1])
    begin = len(content) - 8 - len(data)
    last = Footer(data)._places[-2]
    codec = data.index(b"\x15", last + 10)
    content[begin + codec] = 0x1C  # a number becomes a struct
    path = tmp_path / "damaged.parquet"
    path.write_bytes(content)
    with pytest.raises(SnapshotDamaged, match=r"damaged\.parquet"):
        opened(path).read(GROUPS - 1, [0])


def test_no_more_footers_are_kept_than_there_is_room_for():
    cache = snapshots._Cache(10, 100, lambda value: value)
    made = []

    def get(key, size):
        return cache.get(key, lambda: made.append(key) or size)

    for key in range(4):
        get(key, 30)
    assert made == [0, 1, 2, 3]
    get(1, 30)
    get(0, 30)  # went when 3 came
    assert made == [0, 1, 2, 3, 0]
    get("large", 500)
    get("large", 500)
    assert made == [0, 1, 2, 3, 0, "large"], "one is kept, whatever it takes"
    get("next", 30)
    get("next", 30)
    get("large", 500)
    assert made[5:] == ["large", "next", "large"]
