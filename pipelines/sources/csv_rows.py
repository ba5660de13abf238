"""Rows of a CSV file, a piece at a time, every value as text; `convert.py` makes values of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from pipelines.sources import csv_lines
from pipelines.sources.csv_form import Form, form_of
from pipelines.sources.reading import Reading
from pipelines.sources.text_file import is_utf8, opened
from storage.errors import UserError

_BLOCK = 8 << 20


class CsvRows:
    """One CSV file."""

    is_text = True

    def __init__(self, path: Path, name: str, reading: Reading) -> None:
        """Look at the file's first lines.

        Raises:
            UserError: it has no header that can serve.
        """
        self.name = name
        self._path = path
        self._encoding = reading.encoding
        self.form: Form = form_of(path, name, reading.delimiter, reading.encoding)
        self.columns: tuple[str, ...] = self.form.header

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows in file order; all columns are text, an empty value is null.

        Raises:
            UserError: a row is not as long as the header, or bytes are no text in the encoding.
        """
        with opened(self._path, self.name) as stream:
            try:
                reader = csv.open_csv(
                    stream,
                    read_options=csv.ReadOptions(
                        block_size=max(_BLOCK, 8 * self.form.line_characters),
                        encoding="utf8" if is_utf8(self._encoding) else self._encoding,
                        column_names=list(self.form.header),
                        skip_rows_after_names=self.form.rows_before,
                    ),
                    parse_options=csv.ParseOptions(
                        # Also where no quote was seen yet: a value would end with its block otherwise.
                        delimiter=self.form.delimiter,
                        newlines_in_values=True,
                    ),
                    convert_options=csv.ConvertOptions(
                        column_types=dict.fromkeys(self.form.header, pa.string()),
                        strings_can_be_null=True,
                        null_values=[""],
                        include_columns=list(columns),
                    ),
                )
                row, last = 0, None
                for batch in reader:
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch])
                        row, last = row + batch.num_rows, batch
            except (pa.ArrowInvalid, UnicodeError) as error:
                raise self._said(error) from error

            if last is not None and _spans_lines(last) and csv_lines.open_quote(self._path, self.name):
                raise UserError(
                    f"{self.name} {self.where(row - 1)} has a quote that is not closed up to the file's end; "
                    "close it, or fetch the file again if it was cut short"
                )

    def where(self, row: int) -> str:
        """A row as people find it."""
        return f"line {csv_lines.line_of_row(self._path, self.name, self.form, self._encoding, row)}"

    def _said(self, error: Exception) -> UserError:
        text = str(error)
        if "UTF8" in text or isinstance(error, UnicodeError):
            return UserError(
                f"{self.name} holds bytes that are no text in {self._encoding}; say how it is encoded: "
                "--encoding latin-1 (or cp1252, utf-16)"
            )
        uneven = csv_lines.first_uneven(self._path, self.name, self.form, self._encoding)
        if uneven is None:
            return UserError(f"{self.name} cannot be read as CSV: {text.partition(chr(10))[0][:200]}")
        line, count, last = uneven
        remedy = (
            "a quote is not closed, or the file is cut short there; mend it, or fetch it again"
            if last and count < len(self.columns)
            else "mend the line, or name another delimiter with --delimiter"
        )
        return UserError(
            f"{self.name} line {line} has {count} values, the header has {len(self.columns)} (cut at "
            f"{self.form.delimiter!r}); {remedy}"
        )


def _spans_lines(batch: pa.RecordBatch) -> bool:
    """Whether a value of the last row holds a line end."""
    values = batch.slice(batch.num_rows - 1).to_pylist()[0].values()
    return any(it is not None and ("\n" in it or "\r" in it) for it in values)
