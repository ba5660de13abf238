"""Files that are parts of a table hold rows that it deleted: they are refused, not read."""

from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from pyarrow import parquet

from storage.errors import UserError

ROWS = pa.table({"time": pa.array([0, 1, 2, 3], pa.timestamp("us", "UTC")), "x": [1, 2, 3, 4]})


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    """A table that has deleted half of its rows, whose files still hold them."""
    folder = tmp_path / "table"
    deltalake.write_deltalake(folder, ROWS.append_column("day", pa.array(["a", "a", "b", "b"])))
    deltalake.DeltaTable(folder).delete("x > 2")
    return folder


@pytest.mark.parametrize("source", [".", "*.parquet", "**/*.parquet"])
def test_a_delta_tables_files_are_refused(source, delta, read):
    with pytest.raises(UserError, match=r"Delta table .*/table, .*deleted or .*train --table"):
        read(delta / source)


def test_one_file_of_a_tables_partition_is_refused(tmp_path, read):
    deltalake.write_deltalake(
        tmp_path, ROWS.append_column("day", pa.array(["a", "a", "b", "b"])), partition_by=["day"]
    )
    with pytest.raises(UserError, match="Delta table"):
        read(next(tmp_path.glob("day=a/*.parquet")))


@pytest.mark.parametrize("source", ["", "data", "data/rows.parquet"])
def test_an_iceberg_tables_files_are_refused(source, tmp_path, read):
    for name in ("metadata", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "metadata" / "00000-a.metadata.json").write_text("{}")
    parquet.write_table(ROWS, tmp_path / "data" / "rows.parquet")
    with pytest.raises(UserError, match="Iceberg table"):
        read(tmp_path / source)


def test_files_beside_a_folder_called_metadata_are_read(tmp_path, read):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "notes.json").write_text("{}")
    parquet.write_table(ROWS, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet").rows.num_rows == 4
