"""Delta features in combinations that the Spark fixtures do not have, against rows known by construction."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.open import Lake, open_table
from storage.tables.protocol import Table

from .delta_by_hand import Log, add, framed, inline, metadata, protocol, vector, z85
from .rows import UTC_US, read_all

FIELDS = [{"name": "entity", "type": "string"}, {"name": "n", "type": "long"}]
OPEN = Callable[[], Table]


@pytest.fixture
def log(embedded: Lake, uri: str) -> Log:
    return Log(uri, embedded.access)


@pytest.fixture
def table(embedded: Lake, uri: str) -> OPEN:
    return lambda: open_table(embedded, uri, format="delta")


def rows(numbers: range, type_: pa.DataType | None = None) -> pa.Table:
    return pa.table({"entity": [f"e{it}" for it in numbers], "n": pa.array(numbers, type_ or pa.int64())})


def numbers_of(table: Table) -> list[int]:
    found: list[int] = read_all(table.snapshot()).column("n").to_pylist()
    return found


@pytest.mark.parametrize("kind", ["inline", "file", "file with a prefix"])
def test_deletion_vectors_apply_before_rows_are_numbered(log, table, kind):
    size = log.data("a.parquet", rows(range(100)), row_group_size=30)
    gone = [0, 29, 30, 31, *range(60, 90), 99]
    vectors = {
        "inline": lambda: inline(gone),
        "file": lambda: log.vector_file(gone),
        "file with a prefix": lambda: log.vector_file(gone, "ab"),
    }
    log.commit(
        protocol("deletionVectors"),
        metadata(FIELDS),
        add("a.parquet", size, 100, deletionVector=vectors[kind]()),
    )
    snapshot = table().snapshot()
    (file,) = snapshot.files
    assert (file.rows, snapshot.row_groups(file)) == (65, (28, 28, 0, 9))
    assert snapshot.read(file, 2, ["n", "entity"]).num_rows == 0
    assert numbers_of(table()) == [it for it in range(100) if it not in gone]


def test_a_new_vector_makes_the_file_another_one(log, table):
    size = log.data("a.parquet", rows(range(10)))
    first = add("a.parquet", size, 10, deletionVector=inline([1]))
    second = add("a.parquet", size, 10, deletionVector=inline([1, 2]))
    removal = {"remove": {**first["add"], "deletionTimestamp": 1, "dataChange": True}}
    log.commit(protocol("deletionVectors"), metadata(FIELDS), add("a.parquet", size, 10))
    log.commit({"remove": {"path": "a.parquet", "dataChange": True}}, first)
    log.commit(second, removal)  # in any order: another vector is another file
    versions = [table().snapshot(str(number)) for number in range(3)]
    assert [it.files[0].rows for it in versions] == [10, 9, 8]
    assert len({it.files[0].identity for it in versions}) == 3


def test_a_vector_whose_checksum_does_not_fit_is_refused(log, table):
    size = log.data("a.parquet", rows(range(10)))
    descriptor = log.vector_file([1])
    name = uuid.UUID(bytes=b"0" * 16)
    broken = bytearray(framed(vector([1])))
    broken[8] ^= 1
    log.bucket.put(f"{log.root}/deletion_vector_{name}.bin", bytes(broken))
    descriptor |= {"pathOrInlineDv": z85(name.bytes), "offset": 0}
    log.commit(
        protocol("deletionVectors"), metadata(FIELDS), add("a.parquet", size, 10, deletionVector=descriptor)
    )
    with pytest.raises(SnapshotDamaged, match="checksum"):
        numbers_of(table())


def test_vectors_mapping_widening_partitions_and_nested_columns_together(log, table):
    """One table with all of it; the Delta library refuses such a table's vectors."""
    element = {"type": "array", "elementType": "double", "containsNull": True}
    inner = {
        "type": "struct",
        "fields": [
            _mapped("lat", "double", "p-lat", 11),
            _mapped("added", "string", "p-added", 12),
        ],
    }
    schema = [
        _mapped("key", "string", "p-entity", 1),
        _mapped("n", "long", "p-n", 2),
        _mapped("price", "decimal(12,4)", "p-price", 3),
        _mapped("frame", element, "p-frame", 4),
        _mapped("place", inner, "p-place", 5),
        _mapped("day", "date", "p-day", 6),
        _mapped("later", "integer", "p-later", 7),
    ]
    written = pa.table(
        {
            "p-price": pa.array([Decimal("1.5"), None, Decimal("2.5"), Decimal("3.5")], pa.decimal128(8, 2)),
            "p-n": pa.array([1, 2, None, 4], pa.int16()),
            "n": pa.array([9, 9, 9, 9]),  # a dropped column that once had this name
            "p-entity": ["a", "b", "c", "d"],
            "p-frame": pa.array([[1.0], None, [], [2.0, None]], pa.list_(pa.float32())),
            "p-place": pa.array(
                [{"x": 1, "p-lat": 0.5}, None, {"x": 2, "p-lat": None}, {"x": 3, "p-lat": 1.5}],
                pa.struct([("x", pa.int8()), ("p-lat", pa.float32())]),
            ),
        }
    )
    folder = "p-day=2024-03-01"
    size = log.data(f"{folder}/ä b%20{{c}}.parquet", written, row_group_size=3)
    log.commit(
        protocol("deletionVectors", "columnMapping", "typeWidening"),
        metadata(schema, ["day"], **{"delta.columnMapping.mode": "name"}),
        add(
            f"{folder}/%C3%A4%20b%2520%7Bc%7D.parquet",
            size,
            4,
            deletionVector=inline([1]),
            partitionValues={"p-day": "2024-03-01"},
        ),
    )
    snapshot = table().snapshot()
    assert snapshot.row_groups(snapshot.files[0]) == (2, 1)
    day = datetime(2024, 3, 1).date()
    assert read_all(snapshot).to_pylist() == [
        {
            "key": key,
            "n": n,
            "price": price,
            "frame": frame,
            "place": {"lat": lat, "added": None},
            "day": day,
            "later": None,
        }
        for key, n, price, frame, lat in [
            ("a", 1, Decimal("1.5"), [1.0], 0.5),
            ("c", None, Decimal("2.5"), [], None),
            ("d", 4, Decimal("3.5"), [2.0, None], 1.5),
        ]
    ]
    assert read_all(snapshot, ["later", "day"]).num_rows == 3


def _mapped(name: str, type_: object, physical: str, number: int) -> dict[str, object]:
    mapping = {"delta.columnMapping.physicalName": physical, "delta.columnMapping.id": number}
    return {"name": name, "type": type_, "nullable": True, "metadata": mapping}


def test_columns_mapped_by_id_are_found_whatever_the_file_calls_them(log, table):
    field = pa.field("whatever", pa.int64(), metadata={"PARQUET:field_id": "2"})
    written = pa.table([pa.array([1, 2]), pa.array([3, 4])], pa.schema([pa.field("n", pa.int64()), field]))
    size = log.data("a.parquet", written)
    schema = [_mapped("n", "long", "n", 2), _mapped("entity", "string", "entity", 1)]
    log.commit(
        protocol("columnMapping"),
        metadata(schema, **{"delta.columnMapping.mode": "id"}),
        add("a.parquet", size, 2),
    )
    assert read_all(table().snapshot()).to_pylist() == [{"n": 3, "entity": None}, {"n": 4, "entity": None}]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("long", "-5", -5),
        ("double", "1.5", 1.5),
        ("boolean", "true", True),
        ("string", "ä b", "ä b"),
        ("string", "", None),
        ("date", "2024-03-01", datetime(2024, 3, 1).date()),
        ("decimal(5,2)", "1.50", Decimal("1.50")),
        ("timestamp", "2024-03-01 01:02:03.5", datetime(2024, 3, 1, 1, 2, 3, 500_000, tzinfo=UTC)),
        ("timestamp", "2024-03-01T01:02:03.000000Z", datetime(2024, 3, 1, 1, 2, 3, tzinfo=UTC)),
        ("timestamp_ntz", "2024-03-01 01:02:03", datetime(2024, 3, 1, 1, 2, 3)),
        ("binary", "ab", b"ab"),
        ("date", None, None),
    ],
)
def test_partition_values_become_columns(log, table, kind, text, value):
    size = log.data("a.parquet", pa.table({"n": [1, 2]}))
    schema = [{"name": "n", "type": "long"}, {"name": "part", "type": kind}]
    log.commit(
        protocol(version=1),
        metadata(schema, ["part"]),
        add("a.parquet", size, 2, partitionValues={"part": text}),
    )
    assert read_all(table().snapshot()).to_pylist() == [{"n": 1, "part": value}, {"n": 2, "part": value}]


def test_rows_are_counted_where_statistics_do_not_say(log, table):
    sizes = [log.data(f"{number}.parquet", rows(range(number))) for number in range(1, 4)]
    actions = [add(f"{number}.parquet", size) for number, size in enumerate(sizes, start=1)]
    actions[1]["add"]["deletionVector"] = inline([0])
    log.commit(protocol("deletionVectors"), metadata(FIELDS), *actions)
    assert [it.rows for it in table().snapshot().files] == [1, 1, 3]
    assert dict(table().snapshot().files[0].statistics) == {}


def test_a_file_with_other_rows_than_the_log_says_is_refused(log, table):
    size = log.data("a.parquet", rows(range(10)))
    log.commit(protocol(version=1), metadata(FIELDS), add("a.parquet", size, 11))
    with pytest.raises(SnapshotDamaged, match=r"holds 10 rows.*11 are live"):
        numbers_of(table())


def test_files_of_a_shallow_clone_are_read_where_they_are(log, table, embedded, uri):
    other = Log(f"{uri}-origin", embedded.access)
    size = other.data("ä %.parquet", rows(range(5)))
    path = f"s3a://{other.bucket.name}/{other.root}/%C3%A4%20%25.parquet"
    log.commit(protocol(version=1), metadata(FIELDS), add(path, size, 5))
    assert numbers_of(table()) == list(range(5))


@pytest.mark.parametrize("path", ["file:///etc/a.parquet", "/etc/a.parquet", "gs://b/a.parquet"])
def test_files_outside_of_s3_are_refused(log, table, path):
    log.commit(protocol(version=1), metadata(FIELDS), add(path, 10, 1))
    with pytest.raises(UnsupportedTable, match="outside of S3"):
        table().snapshot()


@pytest.mark.parametrize(
    ("type_", "named"),
    [("variant", "variant"), ("void", "void"), ("interval year", "interval"), ({"type": "udt"}, "udt")],
)
def test_types_that_arrow_does_not_hold_are_refused_by_name(log, table, type_, named):
    log.commit(protocol(version=1), metadata([{"name": "v", "type": type_}]))
    with pytest.raises(UnsupportedTable, match=f"'v'.*{named}"):
        table().snapshot()


def test_a_file_of_a_wider_type_than_the_table_is_refused(log, table):
    size = log.data("a.parquet", pa.table({"entity": ["a"], "n": [1.5]}))
    log.commit(protocol(version=1), metadata(FIELDS), add("a.parquet", size, 1))
    with pytest.raises(UnsupportedTable, match=r"'n'.*double.*int64"):
        numbers_of(table())


def test_times_stored_as_int96_or_nanoseconds_come_as_microseconds(log, table):
    times = pa.array([datetime(2024, 3, 1, 1, 2, 3, 4), None, datetime(1900, 1, 1)], pa.timestamp("us"))
    schema = [{"name": "t", "type": "timestamp"}]
    old = log.data("a.parquet", pa.table({"t": times}), use_deprecated_int96_timestamps=True)
    new = log.data("b.parquet", pa.table({"t": times.cast(pa.timestamp("ns", "UTC"))}))
    log.commit(protocol(version=1), metadata(schema), add("a.parquet", old, 3), add("b.parquet", new, 3))
    expected = times.cast(UTC_US).to_pylist() * 2
    assert read_all(table().snapshot()).column("t").to_pylist() == expected


def test_nanoseconds_that_microseconds_cannot_hold_are_refused(log, table):
    size = log.data("a.parquet", pa.table({"t": pa.array([1001], pa.timestamp("ns", "UTC"))}))
    log.commit(protocol(version=1), metadata([{"name": "t", "type": "timestamp"}]), add("a.parquet", size, 1))
    with pytest.raises(UnsupportedTable, match="'t'"):
        read_all(table().snapshot())


def test_a_long_column_chunk_is_fetched_in_parts(log, table, monkeypatch):
    monkeypatch.setattr("storage.tables.ranged._PART", 5_000)
    monkeypatch.setattr("storage.tables.ranged._GAP", 0)
    values = np.random.default_rng(0).integers(0, 1 << 60, 20_000)
    size = log.data("a.parquet", pa.table({"entity": ["e"] * 20_000, "n": values}), compression="none")
    log.commit(protocol(version=1), metadata(FIELDS), add("a.parquet", size, 20_000))
    assert numbers_of(table()) == values.tolist()


def test_clocks_that_go_back_do_not_turn_history_around(log, table):
    log.commit(protocol(version=1), metadata(FIELDS), timestamp=2_000)
    log.commit(timestamp=1_000)
    log.commit(timestamp=3_000)
    created = [it.created.timestamp() for it in table().snapshots()]
    assert created == [2.0, 2.0, 3.0]
    assert table().snapshot(at=datetime.fromtimestamp(2.5, UTC)).id == "1"


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        ([protocol(version=1), metadata([*FIELDS], ["entity"])], "partitions by entity"),
        ([protocol(version=1), metadata(FIELDS, **{"delta.constraints.c": "n > 0"})], "CHECK constraints"),
        (
            [
                protocol(version=1),
                metadata([{"name": "n", "type": "long", "metadata": {"delta.invariants": "x"}}]),
            ],
            "column invariants",
        ),
        (
            [
                protocol("columnMapping"),
                metadata([_mapped("n", "long", "c", 1)], **{"delta.columnMapping.mode": "name"}),
            ],
            "column mapping",
        ),
    ],
)
def test_tables_that_ask_more_of_writers_are_read_but_not_written(log, table, actions, named):
    log.commit(*actions)
    assert read_all(table().snapshot()).num_rows == 0
    with pytest.raises(UnsupportedTable, match=f"not written here.*{named}"):
        table().append(pa.table({"n": [1]}), transaction="a")
