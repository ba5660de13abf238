"""Rows of a Parquet file, a piece at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from storage.errors import UserError

_ROWS = 1 << 16


class ParquetRows:
    """One Parquet file."""

    is_text = False

    def __init__(self, path: Path, name: str) -> None:
        """Read its footer.

        Raises:
            UserError: it is no Parquet file, or has no rows.
        """
        self.name = name
        self._path = path
        with self._told():
            file = parquet.ParquetFile(path)
            self.schema: pa.Schema = file.schema_arrow
            metadata = file.metadata
        self.columns = tuple(self.schema.names)
        self.rows: int = metadata.num_rows
        if len(set(self.columns)) < len(self.columns):
            twice = next(it for it in self.columns if self.columns.count(it) > 1)
            raise UserError(f"{name} names the column {twice!r} more than once; rename all but one")
        self.bytes = sum(metadata.row_group(it).total_byte_size for it in range(metadata.num_row_groups))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows in file order."""
        with self._told():
            for batch in parquet.ParquetFile(self._path).iter_batches(_ROWS, columns=list(columns)):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch]).select(list(columns))

    def where(self, row: int) -> str:
        """A row as people find it."""
        return f"row {row + 1}"

    def _told(self) -> "_Told":
        return _Told(self.name)


class _Told:
    """Turns what Arrow says of a damaged file into a message; a context."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pa.ArrowInvalid, OSError)):
            said = str(error).partition("\n")[0][:200].rstrip(".")
            raise UserError(
                f"{self._name} cannot be read as Parquet (cut short, or something else?): {said}; fetch or "
                "write it again"
            ) from error
