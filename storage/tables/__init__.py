"""Delta and Iceberg tables behind one small protocol."""

from storage.tables.open import CatalogSettings, Lake, create_table, lake_for, list_tables, open_table
from storage.tables.protocol import (
    ENTITY_PROPERTY,
    TIME_PROPERTY,
    Appended,
    ColumnStatistics,
    DataFile,
    Snapshot,
    SnapshotInfo,
    Table,
)

__all__ = [
    "ENTITY_PROPERTY",
    "TIME_PROPERTY",
    "Appended",
    "CatalogSettings",
    "ColumnStatistics",
    "DataFile",
    "Lake",
    "Snapshot",
    "SnapshotInfo",
    "Table",
    "create_table",
    "lake_for",
    "list_tables",
    "open_table",
]
