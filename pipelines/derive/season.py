"""The season: how many rows back the series looks like it does now.

Where rows are moments, the day, the week and the year are candidates as far as they are whole numbers of rows
(the hour and the minute where rows are too close together for those); else, the peaks of the target's
autocorrelation. The one that repeats best on training rows is taken: whose seasonal-naive forecast over the
horizon, the newest season repeated, has the smallest mean absolute error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.derive.reasons import Reasons
from pipelines.derive.rhythm import Rhythm
from pipelines.derive.sample import Sample
from pipelines.derive.words import DAY, HOUR, MINUTE, WEEK

_NATURAL = ((MINUTE, "minute"), (HOUR, "hour"), (DAY, "day"), (WEEK, "week"))
_CALENDAR = ((7 * DAY, ((52, "year"),)), (28 * DAY, ((12, "year"),)), (90 * DAY, ((4, "year"),)))
"""Intervals that are no whole part of a year, and its rows."""
_SHORT = ("minute", "hour")
_AHEAD = 4
"""Seasons ahead, within the horizon, that errors are taken at."""
_PAIRS = 1000
_BETTER = 0.98
"""A longer season must be that much better than a shorter one: its last value is older."""
_PEAK = 0.3
"""Autocorrelation that a peak must have to pass for a season."""
_LAGS = 800
_RUNS = 64
_TRIED = 6


@dataclass(frozen=True, slots=True)
class Season:
    """Cycles of a table, in rows."""

    rows: int
    """The season whose repetition is the best forecast; 1: none was found, the last row is."""
    cycle: int
    """The shorter cycle that it is made of (the day of a week), or the season itself."""
    name: str


def choose_season(
    rhythm: Rhythm, target: str, sample: Sample, horizon: int, most: int, reasons: Reasons
) -> Season:
    """The best of the candidates that are at most `most` rows long."""
    series = sample.of(target)
    candidates = _candidates(rhythm, most)
    by_calendar = bool(candidates)
    if not candidates:
        candidates = {lag: f"{lag} rows" for lag in _peaks(series, sample.run, most)}
    errors = {rows: _naive_error(series, sample, rhythm, rows, horizon) for rows in sorted(candidates)}
    errors = {rows: error for rows, error in errors.items() if np.isfinite(error)}
    if not errors:
        reasons.add(
            "forecast.season", f"no season of at most {most} rows was found: the last row stands for the next"
        )
        return Season(1, 1, "none")
    best = min(errors, key=lambda rows: (errors[rows], rows))
    for rows in sorted(errors):
        if errors[best] > _BETTER * errors[rows]:
            best = rows
            break
    name = candidates[best]
    tried = ", ".join(f"{candidates[rows]} {error:.3g}" for rows, error in errors.items())
    how = "" if by_calendar else " (peaks of the autocorrelation)"
    reasons.add(
        "forecast.season",
        f"{_a(name)}: repeating the newest one is off by the least (mean absolute error: {tried}){how}",
    )
    return Season(best, _cycle(best, errors, rhythm, by_calendar), name)


def _candidates(rhythm: Rhythm, most: int) -> dict[int, str]:
    """Names of natural seasons by their rows."""
    if rhythm.ordinal or not rhythm.regular:
        return {}
    interval = rhythm.interval
    found = {length // interval: name for length, name in _NATURAL if not length % interval}
    if interval == DAY:
        found[365] = "year"
    for length, years in _CALENDAR:
        if length <= interval < 1.15 * length:
            found |= dict(years)
    fitting = {rows: name for rows, name in found.items() if 1 < rows <= most}
    short = [rows for rows, name in fitting.items() if name in _SHORT]
    if len(short) < len(fitting):
        return {rows: name for rows, name in fitting.items() if rows not in short}
    return {rows: fitting[rows] for rows in short[-1:]}  # the hour rather than the minute


def _cycle(best: int, errors: dict[int, float], rhythm: Rhythm, by_calendar: bool) -> int:
    """The day of a week, the week of a year; else the shortest peak that divides the season."""
    if by_calendar:
        parts = {WEEK // rhythm.interval: DAY // rhythm.interval, 365: WEEK // rhythm.interval}
        part = parts.get(best, best)
        return part if part in errors else best
    return min((rows for rows in errors if not best % rows), default=best)


def _naive_error(
    series: NDArray[np.float32], sample: Sample, rhythm: Rhythm, rows: int, horizon: int
) -> float:
    """Mean absolute error of repeating the newest season, over the steps of a horizon."""
    seasons = -(-horizon // rows)
    ahead = sorted({1 + (seasons - 1) * place // max(1, _AHEAD - 1) for place in range(_AHEAD)})
    return float(np.mean([_difference(series, sample, rhythm, rows * count) for count in ahead]))


def _difference(series: NDArray[np.float32], sample: Sample, rhythm: Rhythm, rows: int) -> float:
    """Mean absolute difference of values that are `rows` apart in one run; infinite where too few are."""
    if rows >= len(series):
        return np.inf
    same = sample.run[rows:] == sample.run[:-rows]
    if rhythm.regular:
        apart = sample.times[rows:] - sample.times[:-rows]
        same &= np.abs(apart - rows * rhythm.interval) <= 0.1 * rows * rhythm.interval
    difference = np.abs(series[rows:].astype(np.float64) - series[:-rows])[same]
    difference = difference[np.isfinite(difference)]
    return float(difference.mean()) if len(difference) >= min(_PAIRS, rows) else np.inf


def _peaks(series: NDArray[np.float32], run: NDArray[np.int64], most: int) -> list[int]:
    """Some lags at which the mean autocorrelation of some runs peaks, the highest first."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(run) != 0]))
    lengths = np.diff(np.append(starts, len(run)))
    lag = min(most, _LAGS, int(np.median(lengths)) // 2)
    long_enough = np.flatnonzero(lengths >= 2 * lag)
    if lag < 3 or not len(long_enough):
        return []
    chosen = long_enough[:: max(1, len(long_enough) // _RUNS)]
    sums, weights = np.zeros(lag + 1), 0
    for number in chosen:
        part = series[starts[number] : starts[number] + lengths[number]].astype(np.float64)[: 20 * _LAGS]
        curve = _autocorrelation(part, lag)
        if curve is not None:
            sums += curve
            weights += 1
    if not weights:
        return []
    curve = sums / weights
    top = [place for place in range(2, lag) if curve[place] > _PEAK and _is_peak(curve, place)]
    return sorted(top, key=lambda place: -curve[place])[:_TRIED]


def _is_peak(curve: NDArray[np.float64], place: int) -> bool:
    """Whether nothing near is higher: within a fifth of the lag, so that noise on a hump is no peak."""
    near = max(1, place // 5)
    return bool(
        curve[place] >= curve[place - near : place + near + 1].max() and curve[place] > curve[1:place].min()
    )


def _autocorrelation(part: NDArray[np.float64], lag: int) -> NDArray[np.float64] | None:
    """[lag + 1] of a series around its own trend; None where it does not move."""
    place = np.arange(len(part))
    known = np.isfinite(part)
    if known.sum() < 2 * lag:
        return None
    slope, level = np.polyfit(place[known], part[known], 1)
    rest = np.where(known, part - (slope * place + level), 0.0)
    power = np.abs(np.fft.rfft(rest, 2 * len(rest))) ** 2
    curve = np.fft.irfft(power)[: lag + 1]
    return None if curve[0] <= 0 else curve / curve[0] * len(rest) / (len(rest) - np.arange(lag + 1))


def _a(name: str) -> str:
    return (
        f"a {name}" if name in ("minute", "day", "week", "year") else f"an {name}" if name == "hour" else name
    )
