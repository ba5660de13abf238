"""Read an ORC file: whole, as one row group."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import orc

from storage.tables.errors import SnapshotDamaged
from storage.tables.projection import FIELD_ID
from storage.tables.ranged import Place

_ORC_ID = b"iceberg.id"


class OrcSource:
    """An opened file. Only its shape is kept; each read fetches it anew."""

    def __init__(self, place: Place) -> None:
        self._place = place
        file = self._open()
        self.fields: tuple[pa.Field, ...] = tuple(_with_parquet_ids(field) for field in file.schema)
        self.row_groups: tuple[int, ...] = (file.nrows,)

    @property
    def nbytes(self) -> int:
        """Next to nothing is kept."""
        return 0

    def read(self, row_group: int, positions: Sequence[int]) -> list[pa.ChunkedArray]:
        """Read top-level columns, by their position in `fields`, in the order asked."""
        assert row_group == 0
        self._place.meter.add(needed=self._place.size)
        file = self._open()
        names = [self.fields[position].name for position in positions]
        try:
            table = file.read(columns=names)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from error
        return [table.column(name) for name in names]

    def page_rows(self, row_group: int, positions: Sequence[int]) -> int | None:
        """None: of a part of it all of it is fetched."""
        return None

    def read_rows(
        self, row_group: int, positions: Sequence[int], first: int, count: int
    ) -> list[pa.ChunkedArray]:
        """`read`, of rows [first, first + count) alone."""
        return [column.slice(first, count) for column in self.read(row_group, positions)]

    def _open(self) -> orc.ORCFile:
        try:
            return orc.ORCFile(pa.BufferReader(self._place.whole()))
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> SnapshotDamaged:
        place = self._place
        return SnapshotDamaged(f"{place.uri}, which {place.snapshot} needs, cannot be decoded: {error}")


def _with_parquet_ids(field: pa.Field) -> pa.Field:
    """The same field, its Iceberg id where Parquet has it, at every level."""
    type_ = field.type
    if pa.types.is_struct(type_):
        type_ = pa.struct([_with_parquet_ids(child) for child in type_])
    elif pa.types.is_list(type_):
        type_ = pa.list_(_with_parquet_ids(type_.value_field))
    elif pa.types.is_map(type_):
        type_ = pa.map_(_with_parquet_ids(type_.key_field), _with_parquet_ids(type_.item_field))
    field_id = (field.metadata or {}).get(_ORC_ID)
    return pa.field(field.name, type_, field.nullable, None if field_id is None else {FIELD_ID: field_id})
