"""Times as text: ISO 8601 with or without a zone, or a format that is named."""

import re
from datetime import datetime
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UserError

Kind = Literal["naive", "zoned"]

NAIVE = pa.timestamp("us")
INSTANT = pa.timestamp("us", tz="UTC")
_CLOCK = r"^\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?"
_ZONE = r" ?(Z|UTC|[-+]\d\d(:?\d\d)?)$"
_ZONE_WORD = r" ?(UTC|GMT)$"
_BLANK_ZONE = r" +([-+]\d\d(:?\d\d)?|Z)$"


def parsed(texts: pa.Array, kind: Kind) -> pa.Array | None:
    """ISO texts of one kind as timestamps, without a zone or in UTC; None: some are not of that kind."""
    wanted = NAIVE if kind == "naive" else INSTANT
    if kind == "zoned":
        texts = pc.replace_substring_regex(texts, _ZONE_WORD, "Z")
        texts = pc.replace_substring_regex(texts, _BLANK_ZONE, r"\1")
    try:
        return pc.cast(texts, wanted)
    except pa.ArrowInvalid:
        pass
    try:  # finer than a microsecond in writing only: pandas writes nine digits
        return pc.cast(pc.cast(texts, pa.timestamp("ns", tz=wanted.tz)), wanted)
    except pa.ArrowInvalid:
        return None


def kind_of_all(texts: pa.Array) -> Kind | None:
    """The kind of time that all texts are; None: not all are times of one kind."""
    if len(texts) == texts.null_count:
        return None
    # One value tells which cast is worth trying: a failed one costs an exception's text only, but all texts.
    sample = texts.drop_null()[:1]
    for kind, mask in masks(sample).items():
        if mask[0].as_py() and parsed(texts, kind) is not None:
            return kind
    return None


def offset_of(end: str) -> str:
    """The offset of a time with a zone from its last characters: `+02:00`, or `Z` however UTC is written."""
    found = re.search(r"[-+]\d\d(?::?\d\d)?$", end)
    return found[0] if found else "Z"


def masks(texts: pa.Array) -> dict[Kind, pa.Array]:
    """Which texts look like times of which kind."""
    return {
        "naive": pc.match_substring_regex(texts, f"{_CLOCK}$"),
        "zoned": pc.match_substring_regex(texts, f"{_CLOCK}{_ZONE}"),
    }


def by_format(texts: pa.Array, written: str) -> pa.Array:
    """Texts of a named format as timestamps: in UTC if the format has a zone, else without one.

    Null where a text is not of the format.
    """
    if "%f" not in written and "%Z" not in written:
        try:
            found = pc.strptime(texts, format=written, unit="us", error_is_null=True)
        except pa.ArrowInvalid as error:
            raise UserError(f"--time-format {written!r} is no format of times: {error}") from error
        found = _without_moved_days(texts, found, written)
        return found.cast(INSTANT) if "%z" in written else found
    return _slowly(texts, written)


def _without_moved_days(texts: pa.Array, found: pa.Array, written: str) -> pa.Array:
    """Null where a text names a day that its month does not have.

    C's parser takes 31.02. for a day early in March; so only days up to the third are looked at again, and
    Python's parser is asked only where writing the time down anew gives another text.
    """
    day = pc.day(found)
    if "%z" in written:  # the day of UTC, which may be the one before or after
        doubtful = pc.indices_nonzero(pc.or_(pc.less_equal(day, 4), pc.greater_equal(day, 28)))
    else:
        doubtful = pc.indices_nonzero(pc.less_equal(day, 3))
        anew = pc.strftime(found.take(doubtful).cast(pa.timestamp("s")), format=written)
        doubtful = doubtful.filter(pc.not_equal(anew, texts.take(doubtful)))
    moved = doubtful.filter(pc.is_null(_slowly(texts.take(doubtful), written)))
    if not len(moved):
        return found
    return pc.if_else(pc.is_in(pa.array(range(len(found)), pa.uint64()), value_set=moved), None, found)


def _slowly(texts: pa.Array, written: str) -> pa.Array:
    """By Python's own parser, which knows fractions of seconds; each text once."""
    encoded = texts.dictionary_encode()
    moments: list[datetime | None] = []
    for text in encoded.dictionary.to_pylist():
        try:
            moments.append(datetime.strptime(text, written))
        except ValueError:
            moments.append(None)
    zoned = any(moment is not None and moment.tzinfo is not None for moment in moments)
    return pc.take(pa.array(moments, INSTANT if zoned else NAIVE), encoded.indices)
