"""A body of rows: what is known or new together, and how it is cut into appends of bounded size.

Usually a file is a body of its own. Its rows are cut, in file order, into pieces of about `PIECE_BYTES`, and
each piece is sorted by (entity, time) before it is appended. That is in order across pieces too, wherever a
file is sorted by (entity, time) or by time alone. Where it is neither, its rows are first sorted on disk.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from blake3 import blake3

from pipelines.sources import order, sort_on_disk
from pipelines.sources.convert import rows_of
from pipelines.sources.decide import Decided
from pipelines.sources.facts import FileFacts
from pipelines.sources.order import Keys
from pipelines.sources.reading import Reading
from pipelines.sources.say import listed, moment
from storage.errors import UserError

PIECE_BYTES = 128 << 20
"""Of rows in memory, as `Profile.bytes` counts: sorting, encoding and sending take four times it."""


Shown = Callable[[Iterable[pa.Table], str], Iterator[pa.Table]]
"""Passes batches on, and shows how far what is named is."""


_MEND = "keep one row per series and time: mend the file, or --duplicates first (or last)"


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows to append as one, in order."""

    name: str
    transaction: str
    rows: pa.Table


@dataclass(slots=True)
class Body:
    """Files whose rows are known or new together."""

    files: list[FileFacts]
    decided: Decided
    reading: Reading
    notes: list[str] = field(default_factory=list)
    """What a person should know, found while its rows are read."""
    _boundaries: sort_on_disk.Boundaries | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.files[0].name if len(self.files) == 1 else f"{len(self.files)} files together"

    @property
    def rows(self) -> int:
        """Rows of all its files."""
        return sum(it.rows for it in self.files)

    @property
    def digest(self) -> str:
        """What identifies its content."""
        if len(self.files) == 1:
            return self.files[0].digest
        return blake3("".join(sorted(it.digest for it in self.files)).encode()).hexdigest()

    @property
    def piece_rows(self) -> int:
        """Rows of a piece: the same for the same content, on any machine."""
        size = sum(profile.bytes for it in self.files for profile in it.columns.values())
        return max(1, PIECE_BYTES * self.rows // max(size, 1))

    @property
    def sorted_on_disk(self) -> bool:
        """Whether its rows are in no order that could be streamed."""
        return self._boundaries is not None

    def check_order(self, number: int, shown: Shown) -> pa.Table:
        """Read the keys of all rows: whether they are there, each once, and in which order.

        Args:
            number: of this body; stands in the ranges.
            shown: shows how far it is.

        Returns:
            The first and last time of each series, as `order.RANGES`.

        Raises:
            UserError: a key is missing, or two rows have the same.
        """
        keys = [it for it in (self.decided.entity, self.decided.time) if it is not None]
        ranges, samples = [], []
        read = shown(self._read(keys, []), f"checking the order of {self.name}")
        first = 0
        for place, rows in enumerate(_in_pieces(read, self.piece_rows)):
            found = Keys.of(rows, self.decided.entity, self.decided.time)
            if self.reading.duplicates == "refuse" and (twice := found.repeated()) is not None:
                self._refuse_repeated(rows, twice, first)
            ranges.append(found.ranges(place))
            samples.append(sort_on_disk.sample(rows, found, self.piece_rows))
            first += rows.num_rows
        together = pa.concat_tables(ranges)
        if order.overlap(together) is not None:
            self._boundaries = sort_on_disk.boundaries(
                pa.concat_tables(samples), keys, -(-self.rows // self.piece_rows)
            )
        return order.whole(together, number)

    def pieces(
        self, folder: Path, shown: Callable[[Iterator[pa.Table]], Iterator[pa.Table]]
    ) -> Iterator[Piece]:
        """All rows, each piece sorted by (entity, time), no two pieces with times of a series in common.

        Args:
            folder: for a body that is sorted on disk.
            shown: passes batches on as they are read, and shows how far it is.

        Raises:
            UserError: two rows have the same key, or the disk is full.
        """
        read = shown(self._read(self.decided.schema.names, self.notes))
        if self._boundaries is None:
            count = -(-self.rows // self.piece_rows)
            parts: Iterator[pa.Table] = _in_pieces(read, self.piece_rows)
        else:
            spilled = sort_on_disk.spill(read, self._boundaries, folder)
            if self.reading.duplicates == "refuse":
                spilled.check(self.decided.entity, self.decided.time, self._refuse_far)
            count, parts = len(spilled.paths), spilled.parts()
        left_out = 0
        for number, rows in enumerate(parts):
            arranged = self._arranged(rows)
            left_out += rows.num_rows - arranged.num_rows
            yield Piece(
                name=self.name if count == 1 else f"{self.name}, piece {number + 1} of {count}",
                transaction=f"rows {self.digest} {number}/{count} {self._settings()}",
                rows=arranged,
            )

        if left_out:
            self.notes.append(
                f"{left_out:,} rows of {self.name} were left out: another row of the same series and "
                f"time was kept, the {self.reading.duplicates} in the file"
            )

    def _arranged(self, rows: pa.Table) -> pa.Table:
        """Rows by (entity, time), each key once."""
        keys = Keys.of(rows, self.decided.entity, self.decided.time)
        if self.reading.duplicates != "refuse" and keys.repeated() is not None:
            return rows.take(pa.array(keys.once(self.reading.duplicates)))
        ordered = keys.order()
        return rows if ordered is None else rows.take(pa.array(ordered))

    def _settings(self) -> str:
        """What decides, beside the files' content, which rows come out."""
        decided = [self.decided.time, self.decided.entity, *sorted(self.decided.schema.names)]
        return blake3(json.dumps([self.reading.shapes(), *decided]).encode()).hexdigest()[:16]

    def _read(self, columns: Sequence[str], notes: list[str]) -> Iterator[pa.Table]:
        for file in self.files:
            yield from rows_of(file, self.decided, self.reading, columns, notes)

    def _refuse_repeated(self, rows: pa.Table, twice: tuple[int, int, int], first: int) -> None:
        one, other, count = twice
        when = moment(rows.column(self.decided.time)[one].as_py())
        where = f"{self._where(first + one)} and {self._where(first + other)} ({count:,} such rows)"
        entity = self.decided.entity
        if entity is not None:
            name = rows.column(entity)[one].as_py()
            raise UserError(f"two rows of {entity} {name!r} have the same time {when}: {where}; {_MEND}")
        if not (candidates := self._candidates()):
            names = listed([it for it in self.decided.schema.names if it != self.decided.time])
            raise UserError(
                f"two rows have the same time {when}: {where}; if the file holds several series, name the "
                f"column that tells them apart with --entity ({names}); else {_MEND}"
            )
        others = f" (others that could: {', '.join(candidates[1:])})" if candidates[1:] else ""
        raise UserError(
            f"two rows have the same time {when}: {where}; if the file holds several series, name the column "
            f"that tells them apart: --entity {candidates[0]}{others}"
        )

    def _refuse_far(self, rows: pa.Table, one: int) -> None:
        when, entity = moment(rows.column(self.decided.time)[one].as_py()), self.decided.entity
        whose = "" if entity is None else f" of {entity} {rows.column(entity)[one].as_py()!r}"
        raise UserError(f"two rows{whose} of {self.name} have the same time {when}; {_MEND}")

    def _candidates(self) -> list[str]:
        """Columns that, with the time, tell the first rows apart."""
        time = self.decided.time
        kinds = (pa.types.is_string, pa.types.is_integer)
        names = [
            it.name for it in self.decided.schema if it.name != time and any(kind(it.type) for kind in kinds)
        ]
        found = []
        for name in names:
            rows = next(
                _in_pieces(rows_of(self.files[0], self.decided, self.reading, [name, time], []), 1 << 17)
            )
            rows = rows.filter(rows.column(name).is_valid())
            if rows.num_rows > 1 and _nearly_apart(rows, name, time):
                series = len(rows.column(name).unique())
                if 1 < series <= rows.num_rows // 2:
                    found.append((pa.types.is_integer(self.decided.schema.field(name).type), series, name))
        return [name for _, _, name in sorted(found)]

    def _where(self, row: int) -> str:
        for file in self.files:
            if row < file.rows:
                return file.where(row)
            row -= file.rows
        raise AssertionError("a row beyond the last file")


def _nearly_apart(rows: pa.Table, entity: str, time: str) -> bool:
    """Whether a column tells rows of the same time apart but for a few: a clock set back repeats some."""
    twice = Keys.of(rows, entity, time).repeated()
    return twice is None or 20 * twice[2] <= rows.num_rows


def _in_pieces(batches: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows; the last may be shorter."""
    held: list[pa.Table] = []
    count = 0
    for batch in batches:
        while batch.num_rows:
            part = batch.slice(0, rows - count)
            held.append(part)
            count += part.num_rows
            batch = batch.slice(part.num_rows)
            if count == rows:
                yield pa.concat_tables(held).combine_chunks()
                held, count = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks()
