"""Where an axis of times is labelled: at round times of the calendar, or at round ordinals."""

import math

import numpy as np

MOST = 8
_SECOND = 1_000_000
_UNITS = [
    *(("s", step, step * _SECOND) for step in (1, 5, 15, 30)),
    *(("m", step, step * 60 * _SECOND) for step in (1, 5, 15, 30)),
    *(("h", step, step * 3600 * _SECOND) for step in (1, 3, 6, 12)),
    *(("D", step, step * 86400 * _SECOND) for step in (1, 2, 7, 14)),
    *(("M", step, step * 30 * 86400 * _SECOND) for step in (1, 2, 3, 6)),
    *(("Y", step, step * 365 * 86400 * _SECOND) for step in (1, 2, 5, 10, 20, 50, 100, 500, 1000)),
]
"""NumPy's unit, how many of them, microseconds of that (about)."""
_YEAR_0, _YEAR_9999 = -62_167_219_200 * _SECOND, 253_402_300_799 * _SECOND


def ticks(first: int, last: int, *, ordinal: bool) -> list[tuple[int, str]]:
    """At most `MOST` times from `first` to `last`, and how they are labelled."""
    if ordinal or first < _YEAR_0 or last > _YEAR_9999:
        return _ordinals(first, last)
    unit, step, _ = next((it for it in _UNITS if (last - first) / it[2] < MOST - 1), _UNITS[-1])
    low = int(np.datetime64(first, "us").astype(f"datetime64[{unit}]").astype(np.int64)) // step * step
    high = int(np.datetime64(last, "us").astype(f"datetime64[{unit}]").astype(np.int64))
    found = []
    for count in range(low, high + 1, step):
        moment = np.array(count).astype(f"datetime64[{unit}]")
        time = int(moment.astype("datetime64[us]").astype(np.int64))
        if first <= time <= last:
            found.append((time, _said(str(moment), unit)))
    return found


def _said(text: str, unit: str) -> str:
    return text.replace("T", " ") + (":00" if unit == "h" else "")


def _ordinals(first: int, last: int) -> list[tuple[int, str]]:
    rough = max(1.0, (last - first) / (MOST - 1))
    power = 10 ** math.floor(math.log10(rough))
    step = next(int(it * power) for it in (1, 2, 5, 10) if it * power >= rough)
    return [(time, f"{time:,}") for time in range(-(-first // step) * step, last + 1, step)]
