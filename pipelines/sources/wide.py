"""Wide CSV files: one series per line, its name first, then its values at equal steps, oldest first.

Blank values at the end of a line mean that the series is shorter; a blank before the last value is a missing
value. Such files know no times. All series are laid so that they *end* at the same moment, as they were all
cut off by the same "now": `--end`, by default `END`. That moment is a convention, not a fact.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources import values
from pipelines.sources.csv_rows import CsvRows
from pipelines.sources.reading import Reading
from storage.errors import UserError

END = datetime(2000, 1, 1, tzinfo=UTC)
"""Time of the last values where nobody names one."""
SERIES, TIME, VALUE = "series", "time", "value"
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_CELLS = 1 << 20
"""Values that are turned at once."""
_MICROSECOND = timedelta(microseconds=1)


class WideRows:
    """One wide file as rows of (series, time, value)."""

    is_text = False

    def __init__(self, path: Path, name: str, reading: Reading) -> None:
        """Look at the first lines.

        Raises:
            UserError: the file has no header, or the step or the end cannot be understood.
        """
        self.name = name
        self._lines = CsvRows(path, name, reading)
        self._reading = reading
        self._every = step_of(reading.every)
        self._end = end_of(reading.end)
        self._names = (reading.entity or SERIES, reading.time or TIME, VALUE)
        self.columns: tuple[str, ...] = self._names

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows, series by series."""
        header = self._lines.columns
        at_once = max(1, _CELLS // len(header))
        line = 0
        for batch in self._lines.batches(header):
            for start in range(0, batch.num_rows, at_once):
                part = batch.slice(start, at_once)
                yield self._turned(part, line).select(list(columns))
                line += part.num_rows

    def where(self, row: int) -> str:
        """A row as people find it."""
        return f"value {row + 1}"

    def _turned(self, lines: pa.Table, first: int) -> pa.Table:
        names = lines.column(0).combine_chunks()
        if names.null_count:
            place = pc.index(pc.is_null(names), True).as_py()
            raise UserError(
                f"{self.name} {self._lines.where(first + place)} has no name in its first column; give it one"
            )
        cells = np.full((lines.num_rows, lines.num_columns - 1), np.nan)
        known = np.zeros(cells.shape, bool)
        for place, column in enumerate(lines.columns[1:]):
            found = self._numbers(column.combine_chunks(), lines.column_names[place + 1], first)
            known[:, place] = np.asarray(found.is_valid())
            cells[:, place] = np.asarray(found.fill_null(np.nan))
        # The number of values of a line is the place of its last one.
        lengths = np.where(known.any(1), cells.shape[1] - np.argmax(known[:, ::-1], 1), 0)
        if not lengths.all():
            place = int(np.flatnonzero(lengths == 0)[0])
            raise UserError(f"{self.name} {self._lines.where(first + place)} has no values; remove the line")
        inside = np.arange(cells.shape[1]) < lengths[:, None]
        back = (lengths[:, None] - 1 - np.arange(cells.shape[1]))[inside]
        times = self._end - back * self._every
        series, time, value = self._names
        return pa.table(
            {
                series: names.take(pa.array(np.repeat(np.arange(len(lengths)), lengths))),
                time: pa.array(times).cast(pa.timestamp("us", tz="UTC")),
                value: pa.array(cells[inside], mask=~known[inside]),
            }
        )

    def _numbers(self, texts: pa.Array, column: str, first: int) -> pa.Array:
        marks = self._reading.decimal, self._reading.thousands
        found = values.numbers(texts, *marks)
        if found is None:
            texts = values.without_nulls(texts, self._reading.null_values, usual=True)
            found = values.numbers(texts, *marks)
        if found is None:
            number = pc.match_substring_regex(values.points(texts, *marks), values.NUMBER)
            place = pc.index(pc.fill_null(number, True), False).as_py()
            raise UserError(
                f"{self.name} {self._lines.where(first + place)} holds the text {texts[place].as_py()!r} "
                f"in column {column!r}, where values are expected; if it stands for a missing one: "
                f"--null-values {texts[place].as_py()}"
            )
        return found


def step_of(every: str | None) -> int:
    """Microseconds of a duration as people write it (`1h`, `10min`).

    Raises:
        UserError: there is none, or it is no duration.
    """
    if every is None:
        raise UserError("--wide needs the time between neighbouring values: --every 1h (s, min, h, d)")
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d)", every)
    step = timedelta(seconds=float(found[1]) * _UNITS[found[2]]) // _MICROSECOND if found else 0
    if step < 1:
        raise UserError(f"--every {every} is no duration; write it as 30s, 10min, 1h or 1d")
    return step


def end_of(end: str | None) -> int:
    """Microseconds since 1970 of a moment as people write it; UTC where it has no zone."""
    try:
        moment = END if end is None else datetime.fromisoformat(end)
    except ValueError:
        raise UserError(f"--end {end} is no time; write it as 2015-01-01 or 2015-01-01T00:00Z") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
