"""What one column of one file holds, counted piece by piece."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources import clock_formats, clock_text, values
from pipelines.sources.reading import Reading

_SURE = 10_000
"""Values after which a column of words is taken for one without another look."""


@dataclass(frozen=True, slots=True)
class Example:
    """One value that matters to a message."""

    row: int
    """After the header, counted from 0."""
    text: str


@dataclass(slots=True)
class Profile:
    """One column of one file."""

    type: pa.DataType
    """As the file has it; text for CSV."""
    from_text: bool
    rows: int = 0
    nulls: int = 0
    numbers: int = 0
    commas: int = 0
    """Numbers that are written with a decimal comma, and none without it."""
    grouped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Texts that would be numbers if digits were grouped so: mark between groups, decimal mark."""
    booleans: int = 0
    naive: int = 0
    """Times without a zone."""
    zoned: int = 0
    infinite: int = 0
    whole: bool = True
    """No number has a fraction, and all fit 64 bits."""
    leading_zero: bool = False
    """Some whole numbers begin with a 0 that would be lost."""
    offsets: Counter[str] = field(default_factory=Counter)
    """How times with a zone end, such as `+01:00` or `Z`, and how many do."""
    formats: tuple[str, ...] = clock_formats.FORMATS
    """Formats of times, other than ISO 8601, that read all of its texts."""
    bytes: int = 0
    """What its values take in memory, by a count that is the same everywhere."""
    first: dict[str, Example] = field(default_factory=dict)
    """The first `word` (no number), `naive`, `zoned`, `infinite`."""

    @property
    def present(self) -> int:
        """Values that are not missing."""
        return self.rows - self.nulls

    def add(self, column: pa.ChunkedArray, reading: Reading) -> None:
        """Count what the next rows hold."""
        for chunk in column.chunks:
            self.bytes += _bytes(chunk)
            if self.from_text:
                self._add_text(chunk, reading)
            else:
                self._add_typed(chunk)
            self.rows += len(chunk)

    def _add_typed(self, chunk: pa.Array) -> None:
        self.nulls += chunk.null_count
        if pa.types.is_floating(chunk.type):
            self.nulls += _count(pc.is_nan(chunk))
            self._infinities(chunk, pc.is_inf(chunk))

    def _add_text(self, chunk: pa.Array, reading: Reading) -> None:
        found = values.numbers(chunk, reading.decimal, reading.thousands)
        if found is None:
            chunk = values.without_nulls(chunk, reading.null_values, usual=True)
            found = values.numbers(chunk, reading.decimal, reading.thousands)
        self.nulls += chunk.null_count
        if self.formats:
            self.formats = clock_formats.reading(chunk, self.formats)
        if found is not None:
            self.numbers += len(chunk) - chunk.null_count
            self._infinities(chunk, pc.is_inf(found))
            self._whole(chunk, reading)
        elif not self._is_words():
            self._add_words(chunk, reading)

    def _is_words(self) -> bool:
        other = self.numbers + self.commas + self.grouped.total() + self.booleans + self.naive + self.zoned
        return self.present > _SURE and other == 0

    def _add_words(self, chunk: pa.Array, reading: Reading) -> None:
        if (times := clock_text.kind_of_all(chunk)) is not None:
            kind, count = times, len(chunk) - chunk.null_count
            setattr(self, kind, getattr(self, kind) + count)
            self._remember(kind, chunk, pc.is_valid(chunk))
            self._remember("word", chunk, pc.is_valid(chunk))
            if kind == "zoned":
                self._count_offsets(chunk)
            return
        encoded = chunk.dictionary_encode()
        words, place = encoded.dictionary, encoded.indices

        def marked(mask: pa.Array) -> pa.Array:
            return pc.fill_null(pc.take(mask, place), False)

        pointed = values.points(words, reading.decimal, reading.thousands)
        number = marked(pc.match_substring_regex(pointed, values.NUMBER))
        self.numbers += _count(number)
        self.commas += _count(marked(pc.match_substring_regex(words, values.COMMA_NUMBER)))
        if reading.thousands is None:
            for marks, pattern in values.GROUPED.items():
                if count := _count(marked(pc.match_substring_regex(words, pattern))):
                    self.grouped[marks] += count
        lower = pc.ascii_lower(words)
        self.booleans += _count(marked(pc.is_in(lower, value_set=pa.array(["true", "false"]))))
        for kind, mask in clock_text.masks(words).items():
            mask = marked(mask)
            setattr(self, kind, getattr(self, kind) + _count(mask))
            if kind == "zoned":
                self._count_offsets(chunk.filter(mask))
            self._remember(kind, chunk, mask)
        self._whole(chunk.filter(number), reading)
        self._remember("word", chunk, pc.and_(pc.invert(number), pc.is_valid(chunk)))

    def _count_offsets(self, zoned: pa.Array) -> None:
        for end in pc.value_counts(pc.utf8_slice_codeunits(zoned.drop_null(), -6)).to_pylist():
            self.offsets[clock_text.offset_of(end["values"])] += end["counts"]

    def _whole(self, chunk: pa.Array, reading: Reading) -> None:
        self.whole = self.whole and values.integers(chunk, reading.thousands) is not None
        if self.whole and not self.leading_zero:
            self.leading_zero = _count(pc.match_substring_regex(chunk, r"^[-+]?0\d")) > 0

    def _infinities(self, chunk: pa.Array, mask: pa.Array) -> None:
        if count := _count(mask):
            self.infinite += count
            self._remember("infinite", chunk, pc.fill_null(mask, False))

    def _remember(self, kind: str, chunk: pa.Array, mask: pa.Array) -> None:
        if kind not in self.first:
            place = pc.index(mask, True).as_py()
            if place >= 0:
                self.first[kind] = Example(self.rows + place, str(chunk[place].as_py()))


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _bytes(chunk: pa.Array) -> int:
    kind = chunk.type
    if pa.types.is_nested(kind):
        return int(chunk.nbytes)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return 4 * len(chunk) + (pc.sum(pc.binary_length(chunk)).as_py() or 0)
    return 8 * len(chunk)
