"""Tables that Apache Spark wrote, on the embedded server; `manifest.json` says what each one has."""

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.objects import Bucket
from storage.tables.open import Lake, open_table
from storage.tables.protocol import Table

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "spark" / "fixtures-P.tar.xz"
NAMES = [
    *("plain_appends", "deletion_vectors", "mapping_name", "mapping_upgraded", "added_column"),
    *("type_widening", "frames_by_day", "zorder_checkpoint", "liquid_v2checkpoint"),
    *("days_appends", "position_deletes", "v3_deletion_vectors", "schema_evolution", "v3_defaults"),
    *("partition_evolution", "sorted_branch_tag", "added_files", "parquet_and_orc"),
]


@dataclass(frozen=True)
class Fixtures:
    folder: Path
    tables: dict[str, dict[str, Any]]
    lake: Lake

    def open(self, name: str) -> Table:
        entry = self.tables[name]
        if entry["format"] == "delta":
            return open_table(self.lake, entry["uri"])
        return open_table(self.lake, entry["metadata_location"])

    def truth(self, version: dict[str, Any]) -> pa.Table:
        """The rows that Spark read back."""
        return pq.read_table(self.folder / version["truth"])


def spark_tables(lake: Lake, folder: Path) -> Fixtures:
    """Unpack them, and put them into their bucket; skips the test where they are not at hand."""
    if not ARCHIVE.exists():
        pytest.skip(f"no Spark fixtures at {ARCHIVE}")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    manifest = json.loads((folder / "manifest.json").read_text())
    bucket = Bucket(manifest["bucket"], lake.access)
    bucket.create()
    root = folder / "bucket"
    files = [it for it in root.rglob("*") if it.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda it: bucket.put(it.relative_to(root).as_posix(), it.read_bytes()), files))
    tables = {entry["name"]: entry for entry in manifest["tables"]}
    assert set(tables) == set(NAMES)
    return Fixtures(folder, tables, Lake(access=lake.access))
