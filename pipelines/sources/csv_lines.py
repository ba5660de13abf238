"""Where in a CSV file something is: the line as an editor counts it. Slow, so only asked for a message."""

import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.csv_form import Form
from pipelines.sources.text_file import lines_of, opened

_PART = 8 << 20


def line_of_row(path: Path, name: str, form: Form, encoding: str, row: int) -> int:
    """The line of the n-th row after the header, counted from 0; blank lines are no rows."""
    found = next(itertools.islice(_rows(path, name, form, encoding), row + 1, None), None)
    return found[0] if found else row + 2


def first_uneven(path: Path, name: str, form: Form, encoding: str) -> tuple[int, int, bool] | None:
    """The first row that is not as long as the header: its line, its values, whether it is the last."""
    rows = _rows(path, name, form, encoding)
    for line, cells in rows:
        if len(cells) != len(form.header):
            return line, len(cells), next(rows, None) is None
    return None


def open_quote(path: Path, name: str) -> bool:
    """Whether the file ends inside a quoted value: it then has an odd number of quotes."""
    count = 0
    with opened(path, name) as stream:
        while part := stream.read(_PART):
            count += part.count(b'"')
    return count % 2 == 1


def _rows(path: Path, name: str, form: Form, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line on which it begins."""
    csv.field_size_limit(sys.maxsize)
    with lines_of(path, name, encoding) as text:
        reader = csv.reader(text, delimiter=form.delimiter)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            if cells:
                yield line, cells
