"""What the text of a value means: missing, a number, true or false."""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

USUAL_NULLS = ("", "na", "n/a", "nan", "null", "none")
"""Stand for a missing number or time, in any case; in text columns only an empty value does."""
NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?(inf|Inf|INF|infinity|Infinity)$"
COMMA_NUMBER = r"^[-+]?\d+,\d+([eE][-+]?\d+)?$"
GROUPED = {
    (thousands, decimal): rf"^[-+]?\d{{1,3}}({re.escape(thousands)}\d{{3}})+({re.escape(decimal)}\d*)?$"
    for thousands, decimal in (",.", ".,", " .", " ,", "'.", "\u00a0,", "\u202f,")
}
"""Ways of grouping digits, by the mark between groups and the decimal mark."""
_TRUE, _FALSE = "true", "false"


def without_nulls(values: pa.Array, also: Sequence[str], *, usual: bool) -> pa.Array:
    """Text with null where a value is missing, and without blanks around it.

    Args:
        values: text.
        also: texts that stand for a missing value.
        usual: whether the usual ones do as well; else only what is empty.
    """
    bare = pc.ascii_trim_whitespace(values)
    stand = {"", *(it.strip().lower() for it in also), *(USUAL_NULLS if usual else ())}
    gone = pc.is_in(pc.ascii_lower(bare), value_set=pa.array(sorted(stand)))
    return pc.if_else(gone, None, bare)


def numbers(values: pa.Array, decimal: str, thousands: str | None = None) -> pa.Array | None:
    """Text without nulls' names as float64; None: not all of it is numbers."""
    try:
        found = pc.cast(points(values, decimal, thousands), pa.float64())
    except pa.ArrowInvalid:
        return None
    # Arrow takes "nan" for a number, which is a name of a null.
    return None if pc.any(pc.is_nan(found)).as_py() else found


def integers(values: pa.Array, thousands: str | None = None) -> pa.Array | None:
    """Text as int64; None: not all of it is whole numbers."""
    try:
        return pc.cast(ungrouped(values, thousands), pa.int64())
    except pa.ArrowInvalid:
        return None


def booleans(values: pa.Array) -> pa.Array | None:
    """Text as true and false; None: not all of it is."""
    lower = pc.ascii_lower(values)
    known = pc.is_in(lower, value_set=pa.array([_TRUE, _FALSE]))
    if not pc.all(pc.or_(known, pc.is_null(values)), min_count=0).as_py():
        return None
    return pc.if_else(pc.is_null(values), None, pc.equal(lower, _TRUE))


def ungrouped(values: pa.Array, thousands: str | None) -> pa.Array:
    """Numbers without the marks that group their digits, where these stand as they should."""
    if thousands is None:
        return values
    mark = re.escape(thousands)
    groups = pc.match_substring_regex(values, rf"^[-+]?\d{{1,3}}({mark}\d{{3}})+(\D|$)")
    return pc.if_else(groups, pc.replace_substring(values, thousands, ""), values)


def points(values: pa.Array, decimal: str, thousands: str | None = None) -> pa.Array:
    """Numbers with a point for the decimal mark, their digits in no groups."""
    values = ungrouped(values, thousands)
    if decimal == ".":
        return values
    # A point is then no decimal mark: what holds one shall not pass for a number.
    marked = pc.replace_substring(values, ".", "?")
    return pc.replace_substring(marked, decimal, ".")
