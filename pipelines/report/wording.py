"""Numbers, times and spans as people read them."""

from datetime import timedelta

_UNITS = (
    ("year", 365.25 * 86_400),
    ("day", 86_400.0),
    ("hour", 3600.0),
    ("minute", 60.0),
    ("second", 1.0),
    ("millisecond", 1e-3),
)


def span(microseconds: float) -> str:
    """A length of time: `1 hour`, `15 minutes`, `1.5 years`."""
    seconds = microseconds / 1e6
    for name, length in _UNITS:
        if seconds >= length or name == "millisecond":
            count = float(f"{seconds / length:.3g}")
            return f"{count:,.15g} {name}{'' if count == 1 else 's'}"
    raise AssertionError("the last unit takes what is left")


def seconds(value: float) -> str:
    """A length of time on a clock: `14 s`, `3 min 20 s`, `1:02:03 h`."""
    if value < 60:
        return f"{value:.2g} s" if value < 1 else f"{value:.3g} s"
    whole = timedelta(seconds=round(value))
    if value < 3600:
        minutes, rest = divmod(whole.seconds, 60)
        return f"{minutes} min {rest} s"
    return f"{whole} h"


def size(count: float) -> str:
    """Bytes: `12 kB`, `3.4 MB`."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.3g} {unit}" if count < 1e3 * length else f"{count / length:,.0f} {unit}"
    return f"{count:.0f} B"


def number(value: float | None) -> str:
    """A figure with about four significant digits; a dash where there is none."""
    if value is None:
        return "–"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    if value == int(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    digits = max(0, 4 - len(str(int(abs(value))))) if abs(value) >= 1 else 4
    return f"{value:,.{min(digits, 4)}f}"


def share(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    if value is None:
        return "–"
    percent = 100 * value
    return (
        f"{percent:.0f}%" if percent == 0 or percent >= 10 or percent == int(percent) else f"{percent:.2g}%"
    )


def counted(count: int, word: str, words: str | None = None) -> str:
    """`1 window`, `2,000 windows`."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def listed(names: list[str], most: int = 6) -> str:
    """`a, b and 3 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"
