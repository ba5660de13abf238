"""The form of a CSV file: its delimiter and its header, found from its first lines."""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.text_file import lines_of
from storage.errors import UserError

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 16
_LINES = 20
_WHOLE_LINE = 64 << 20  # characters; a header longer than this is none
_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is laid out."""

    delimiter: str
    header: tuple[str, ...]
    line_characters: int
    """Length of the longest line seen."""
    rows_before: int
    """Up to the first row of values: the header, and blank lines before it."""


def form_of(path: Path, name: str, delimiter: str | None, encoding: str) -> Form:
    """Look at the first lines of a file.

    Raises:
        UserError: it has no text, no header, or names a column twice.
    """
    with lines_of(path, name, encoding) as text:
        sample = text.read(_SAMPLE)
        if "\n" not in sample or not sample.endswith("\n"):
            sample += text.readline(_WHOLE_LINE)
    if not sample.strip():
        raise UserError(f"{name} has no text; nothing to ingest")
    if "\0" in sample:
        raise UserError(
            f"{name} is no text in {encoding} (it holds zero bytes); if it is CSV, say how it is encoded: "
            "--encoding utf-16"
        )
    chosen = delimiter or _delimiter(sample)
    rows = list(csv.reader(io.StringIO(sample), delimiter=chosen))
    blank = next(number for number, row in enumerate(rows) if row)
    header = tuple(cell.strip() for cell in rows[blank])
    _check(header, name, chosen)
    longest = max(len(line) for line in sample.splitlines())
    return Form(chosen, header, longest, blank + 1)


def _delimiter(sample: str) -> str:
    """The one that cuts most of the first lines into as many values as the header, and that into most."""

    def agreement(delimiter: str) -> tuple[int, int]:
        rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row][:_LINES]
        width = len(rows[0])
        alike = sum(len(row) == width for row in rows)
        return (alike if width > 1 else 0), width

    return max(DELIMITERS, key=agreement)


def _check(header: tuple[str, ...], name: str, delimiter: str) -> None:
    if all(_NUMBER.fullmatch(cell) for cell in header if cell):
        raise UserError(
            f"{name} has no header: its first line holds only numbers ({_some(header)}); write the columns' "
            "names on a line before it"
        )
    twice = [cell for cell, count in Counter(header).items() if count > 1 and cell]
    if twice:
        raise UserError(
            f"{name} names the column {twice[0]!r} {header.count(twice[0])} times; rename all but one"
        )
    if len(header) == 1:
        raise UserError(
            f"{name} has one column only ({header[0]!r}) when cut at {delimiter!r}; a table needs a time and "
            "a value at least: name another delimiter with --delimiter"
        )


def _some(cells: tuple[str, ...]) -> str:
    return ", ".join(cells[:3]) + (", ..." if len(cells) > 3 else "")
