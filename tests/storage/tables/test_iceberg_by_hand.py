"""Iceberg features in combinations that the Spark fixtures do not have, against rows known by construction.

Real files lie in the bucket; what the manifests say of them is put in where manifests are read.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, LongType, NestedField

from storage import uri as uris
from storage.tables import iceberg_plan
from storage.tables.columns import Column
from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.iceberg_schema import apply_names, columns_of, file_schema, iceberg_schema
from storage.tables.iceberg_values import identity_values
from storage.tables.open import create_table
from storage.tables.projection import FIELD_ID, absent

from .delta_by_hand import framed, vector
from .iceberg_by_hand import ByHand, orc_file, parquet, position_deletes
from .rows import EVERY_TYPE, UTC_US, read_all

SCHEMA = pa.schema([("entity", pa.string()), ("n", pa.int64())])


@pytest.fixture
def by_hand(embedded, uri, tables_bucket, monkeypatch) -> ByHand:
    table = create_table(embedded, uri, SCHEMA, format="iceberg")
    table.append(pa.table({"entity": ["e"], "n": [0]}, schema=SCHEMA), transaction="a")
    made = ByHand(table, tables_bucket, uris.parse(uri)[1])
    # The append's one manifest is never read.
    monkeypatch.setattr(iceberg_plan, "_entries", lambda *_: made.entries)
    return made


def rows(numbers: Sequence[int]) -> pa.Table:
    return pa.table({"entity": [f"e{it}" for it in numbers], "n": pa.array(numbers, pa.int64())})


@pytest.mark.parametrize("encode", [parquet, orc_file])
def test_position_deletes_apply_to_orc_and_parquet_files_written_before_them(by_hand, encode):
    kind = "ORC" if encode is orc_file else "PARQUET"
    first = by_hand.put("first ä%20", encode(rows(range(10))))
    second = by_hand.put("second", encode(rows(range(10, 20))))
    by_hand.add(*first, 10, file_format=kind, sequence=1)
    by_hand.add(*second, 10, file_format=kind, sequence=3)
    one = position_deletes((first[0], 0), (first[0], 9), (second[0], 5))
    two = position_deletes((first[0], 9), (first[0], 4), (first[0], 99))
    by_hand.deletes(*by_hand.put("d1", encode(one)), 3, file_format=kind, sequence=2)
    by_hand.deletes(*by_hand.put("d2", encode(two)), 3, file_format=kind, sequence=2)
    snapshot = by_hand.snapshot()
    # The second file came after the deletes, so they are not about its rows.
    assert by_hand.numbers() == [1, 2, 3, 5, 6, 7, 8, *range(10, 20)]
    assert [it.rows for it in snapshot.files] == [7, 10]
    assert snapshot.row_groups(snapshot.files[0]) == (7,)


def test_the_same_deletes_in_other_files_leave_the_files_identity(by_hand):
    place = by_hand.put("data", parquet(rows(range(10))))
    by_hand.add(*place, 10)
    whole = by_hand.snapshot().files[0].identity
    by_hand.deletes(*by_hand.put("d1", parquet(position_deletes((place[0], 3)))), 1, sequence=2)
    one = by_hand.snapshot().files[0].identity
    by_hand.entries[1:] = []
    by_hand.deletes(*by_hand.put("d2", parquet(position_deletes((place[0], 3)))), 1, sequence=2)
    assert by_hand.snapshot().files[0].identity == one != whole
    by_hand.deletes(*by_hand.put("d3", parquet(position_deletes((place[0], 4)))), 1, sequence=2)
    assert by_hand.snapshot().files[0].identity not in (one, whole)


def test_a_deletion_vector_replaces_position_deletes(by_hand):
    place = by_hand.put("data", parquet(rows(range(100)), row_group_size=40))
    other = by_hand.put("other", parquet(rows(range(100, 110))))
    by_hand.add(*place, 100)
    by_hand.add(*other, 10)
    by_hand.deletes(*by_hand.put("d1", parquet(position_deletes((place[0], 3)))), 1, sequence=2)
    blob = framed(vector([3, *range(40, 80)]))
    puffin = b"PFA1" + framed(vector([0])) + blob + b"PFA1"
    offset = len(puffin) - 4 - len(blob)
    by_hand.deletes(
        *by_hand.put("vectors.puffin", puffin),
        41,
        sequence=3,
        file_format="PUFFIN",
        referenced_data_file=place[0],
        content_offset=offset,
        content_size_in_bytes=len(blob),
    )
    snapshot = by_hand.snapshot()
    assert snapshot.row_groups(snapshot.files[1 if "other" in snapshot.files[0].path else 0]) == (39, 0, 20)
    assert by_hand.numbers() == [0, 1, 2, *range(4, 40), *range(80, 110)]


@pytest.mark.parametrize(("sequence", "applies"), [(4, False), (5, True), (6, True)])
@pytest.mark.parametrize("kind", ["positions", "vector"])
def test_deletes_apply_to_files_committed_with_them_or_before(by_hand, kind, sequence, applies):
    place = by_hand.put("data", parquet(rows(range(10))))
    by_hand.add(*place, 10, sequence=5)
    if kind == "positions":
        deletes = parquet(position_deletes((place[0], 3)))
        by_hand.deletes(*by_hand.put("d", deletes), 1, sequence=sequence)
    else:
        blob = framed(vector([3]))
        by_hand.deletes(
            *by_hand.put("d.puffin", b"PFA1" + blob + b"PFA1"),
            1,
            sequence=sequence,
            file_format="PUFFIN",
            referenced_data_file=place[0],
            content_offset=4,
            content_size_in_bytes=len(blob),
        )
    assert by_hand.numbers() == [number for number in range(10) if number != 3 or not applies]


def test_a_vector_with_other_rows_than_its_manifest_says_is_refused(by_hand):
    place = by_hand.put("data", parquet(rows(range(10))))
    by_hand.add(*place, 10)
    blob = framed(vector([1, 2]))
    by_hand.deletes(
        *by_hand.put("v.puffin", blob),
        1,
        file_format="PUFFIN",
        referenced_data_file=place[0],
        content_offset=0,
        content_size_in_bytes=len(blob),
    )
    with pytest.raises(SnapshotDamaged, match=r"2 of them deleted.*9 are live"):
        by_hand.numbers()


@pytest.mark.parametrize(("content", "named"), [("data", "AVRO|avro"), ("deletes", "AVRO")])
def test_avro_files_are_refused(by_hand, content, named):
    place = by_hand.put("data", b"Obj\1")
    if content == "data":
        by_hand.add(*place, 10, file_format="AVRO")
    else:
        by_hand.deletes(*place, 10, file_format="AVRO")
    with pytest.raises(UnsupportedTable, match=named):
        by_hand.numbers()


def test_every_type_survives_the_way_through_icebergs_schema():
    schema = iceberg_schema(EVERY_TYPE)
    columns = columns_of(schema)
    assert pa.schema([it.field for it in columns]).equals(EVERY_TYPE)
    ids = [it.field_id for it in schema.fields]
    assert ids == list(range(1, len(EVERY_TYPE) + 1))
    assert len(set(_ids(file_schema(columns)))) == len(_ids(file_schema(columns))) > len(ids)


def _ids(fields: Sequence[pa.Field]) -> list[bytes]:
    found = []
    for it in fields:
        found.append(it.metadata[FIELD_ID])
        found += _ids([it.type.field(number) for number in range(it.type.num_fields)])
    return found


def test_a_name_mapping_reaches_nested_fields(by_hand, embedded):
    from pyiceberg.table.name_mapping import parse_mapping_from_json

    mapping = parse_mapping_from_json(
        """[{"field-id": 1, "names": ["who", "entity"]},
            {"field-id": 5, "names": ["place"], "fields": [{"field-id": 6, "names": ["latitude", "lat"]}]},
            {"field-id": 7, "names": ["frame"], "fields": [
                {"field-id": 8, "names": ["element"], "fields": [{"field-id": 9, "names": ["v"]}]}]}]"""
    )
    fields = [
        pa.field("entity", pa.string()),
        pa.field("unknown", pa.int32()),
        pa.field("place", pa.struct([("lat", pa.float64())])),
        pa.field("frame", pa.list_(pa.struct([("v", pa.int32())]))),
    ]
    mapped = apply_names(fields, mapping)
    assert [(it.metadata or {}).get(FIELD_ID) for it in mapped] == [b"1", None, b"5", b"7"]
    assert mapped[2].type.field(0).metadata[FIELD_ID] == b"6"
    assert mapped[3].type.value_field.type.field(0).metadata[FIELD_ID] == b"9"


def test_partition_values_stand_in_for_columns_that_files_leave_out():
    schema = Schema(
        NestedField(1, "n", LongType()), NestedField(2, "day", DateType()), NestedField(3, "gone", LongType())
    )
    spec = PartitionSpec(
        PartitionField(1, 1000, BucketTransform(4), "n_bucket"),
        PartitionField(2, 1001, IdentityTransform(), "day"),
        PartitionField(9, 1002, IdentityTransform(), "dropped"),
        spec_id=7,
    )
    data = DataFile.from_args(partition=Record(3, 19_783, 5))
    data.spec_id = 7
    values = identity_values(data, {7: spec}, schema.fields)
    assert values == {"day": 19_783}
    day = Column("day", pa.date32(), default=values["day"])
    assert absent(day, 2).to_pylist() == [date(2024, 3, 1)] * 2


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("date", '"2024-03-01"', date(2024, 3, 1)),
        ("timestamptz", '"2024-03-01T01:02:03.000004+00:00"', datetime(2024, 3, 1, 1, 2, 3, 4, tzinfo=UTC)),
        ("timestamp", '"2024-03-01T01:02:03"', datetime(2024, 3, 1, 1, 2, 3)),
        ("decimal(10,2)", '"14.20"', Decimal("14.20")),
        ("binary", '"00ff"', b"\0\xff"),
        ("fixed[2]", '"00ff"', b"\0\xff"),
        ("uuid", '"f79c3e09-677c-4bbd-a479-3f349cb785e7"', bytes.fromhex("f79c3e09677c4bbda4793f349cb785e7")),
        ("float", "7", 7.0),
        ("boolean", "false", False),
    ],
)
def test_defaults_fill_files_older_than_their_column(type_, text, value):
    schema = Schema.model_validate_json(
        f'{{"type": "struct", "schema-id": 0, "fields": '
        f'[{{"id": 1, "name": "c", "required": true, "type": "{type_}", "initial-default": {text}}}]}}'
    )
    (column,) = columns_of(schema)
    assert absent(column, 2).to_pylist() == [value] * 2


def test_a_type_without_an_equal_in_arrow_is_refused_by_name():
    schema = Schema.model_validate_json(
        '{"type": "struct", "schema-id": 0, "fields": '
        '[{"id": 1, "name": "g", "required": false, "type": "unknown"}]}'
    )
    with pytest.raises(UnsupportedTable, match=r"'g'.*unknown"):
        columns_of(schema)


def test_a_file_without_ids_or_name_mapping_is_refused(by_hand, monkeypatch):
    monkeypatch.setattr("pyiceberg.table.metadata.TableMetadataV2.name_mapping", lambda _: None)
    by_hand.add(*by_hand.put("data", parquet(rows(range(10)))), 10)
    with pytest.raises(UnsupportedTable, match="no field ids"):
        by_hand.numbers()


def test_times_in_orc_come_as_microseconds(embedded, uri, tables_bucket, monkeypatch, by_hand):
    table = create_table(embedded, f"{uri}-times", pa.schema([("t", UTC_US)]), format="iceberg")
    table.append(pa.table({"t": pa.array([0], UTC_US)}), transaction="a")
    other = ByHand(table, tables_bucket, by_hand.folder)
    monkeypatch.setattr(iceberg_plan, "_entries", lambda *_: other.entries)
    times = pa.array([0, None, 1_709_254_923_000_004], UTC_US)
    other.add(*other.put("t.orc", orc_file(pa.table({"t": times}))), 3, file_format="ORC")
    assert read_all(table.snapshot()).column("t").to_pylist() == times.to_pylist()
