"""Ways of writing times that are no ISO 8601: which of them read a column, so that a message can name them.

They are proposed, never taken: 01/02/2024 is a day in January or in February, and only a person knows which.
"""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

_DATES = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d", "%Y%m%d",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %Y", "%Y-%m", "%Y/%m",
)  # fmt: skip
_CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%H:%M:%S.%f", "%H%M", "%H%M%S")
_AFTER = ("", *(gap + clock for clock in _CLOCKS for gap in (" ", "T", ", ")))
FORMATS = tuple(date + after for date in _DATES for after in _AFTER)
"""All that are known; those that write a day before its month come before the others."""
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
_OF_DIGITS = ("%Y%m%d",)
_FRACTION = r"\.\d+$"
_YEAR = r"\d{4}"


def reading(texts: pa.Array, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the formats that read every text that is not null; none are left after the first word."""
    known = texts.drop_null()
    if not len(known):
        return formats
    if _NUMBER.fullmatch(known[0].as_py()):  # a cheap look at the columns of numbers, which are many
        formats = tuple(it for it in formats if it in _OF_DIGITS)
    # One text rules nearly all of them out.
    likely = tuple(it for it in formats if _reads(known[:1], it))
    return tuple(it for it in likely if _reads(known, it))


def common(found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The formats that read all of several columns."""
    return tuple(it for it in found[0] if all(it in other for other in found[1:]))


def _reads(texts: pa.Array, written: str) -> bool:
    if written.endswith(".%f"):
        if not pc.all(pc.match_substring_regex(texts, _FRACTION)).as_py():
            return False
        texts, written = pc.replace_substring_regex(texts, _FRACTION, ""), written.removesuffix(".%f")
    # C's parser takes the 24 of 10.12.24 for a whole year.
    if "%Y" in written and not pc.all(pc.match_substring_regex(texts, _YEAR)).as_py():
        return False
    return bool(pc.strptime(texts, format=written, unit="s", error_is_null=True).null_count == 0)
