"""How often a series is sampled, how regularly, and where gaps cut it."""

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from lstm.windows import SequenceIndex
from pipelines.derive.reasons import Reasons
from pipelines.derive.sample import Sample
from pipelines.derive.words import DAY, HOUR, MINUTE, SECOND, duration, share

_ALIKE = 0.1
"""Steps that differ by less than this from the usual one are regular: months, and clocks that jitter."""
_NATURAL = tuple(
    count * unit
    for unit, counts in (
        (SECOND, (1, 2, 5, 10, 15, 20, 30)),
        (MINUTE, (1, 2, 5, 10, 15, 20, 30)),
        (HOUR, (1, 2, 3, 4, 6, 8, 12)),
        (DAY, (1, 7)),
    )
    for count in counts
)
_JITTER = 0.02
_REGULAR = 0.5
"""Share of such steps above which a series counts as regular."""
_MULTIPLES = (1, 2, 3, 6, 12, 24)
"""Gaps that may stay inside a window, in sampling intervals."""
_ENOUGH = 0.8
"""Share of the windows without any cut that must be left, for the smallest gap to be chosen."""
_IRREGULAR_GAP = 10
"""Medians that a gap must exceed to cut an irregular series."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The sampling of a table."""

    interval: int
    """Usual time between two rows of a series, in microseconds (or ordinals)."""
    regular: bool
    ordinal: bool
    span: int
    """Sampling intervals from the first row of the table to the last one, both counted."""
    length: int
    """Rows of the series that a row is typically part of."""
    first: int
    last: int

    def say(self, rows: int) -> str:
        """A number of rows as people read it."""
        if self.ordinal or not self.regular:
            return f"{rows} rows"
        return f"{rows} rows, {duration(rows * self.interval)}"


def find_rhythm(index: SequenceIndex, sample: Sample, reasons: Reasons) -> Rhythm:
    """Measure the usual step and how many steps are like it."""
    pieces, ordinal = index.pieces, index.keys.ordinal
    steps = sample.steps()
    interval = index.interval
    alike = int(np.sum(np.abs(steps - interval) <= _ALIKE * interval))
    regular = not len(steps) or alike > _REGULAR * len(steps)
    if not regular:
        interval = max(1, int(np.median(steps)))
    elif not ordinal and len(steps) and np.sum(steps == interval) < _REGULAR * len(steps):
        interval = _meant(float(np.median(steps)), interval)
    first, last = int(pieces.first_time.min()), int(pieces.last_time.max())
    rows = np.sort(np.bincount(pieces.series, weights=pieces.rows).astype(np.int64))[::-1]
    typical = int(rows[np.searchsorted(np.cumsum(rows), rows.sum() / 2)])
    rhythm = Rhythm(interval, regular, ordinal, (last - first) // interval + 1, typical, first, last)
    name = f"{interval} (whole numbers, not moments)" if ordinal else duration(interval)
    if not len(steps):
        reasons.remark(
            f"no series has two rows in a row group; from one row group to the next it is usually {name}"
        )
    elif regular:
        reasons.remark(f"sampled every {name}: {share(alike, len(steps))} of {len(steps):,} steps looked at")
    else:
        reasons.remark(
            f"sampled IRREGULARLY: only {share(alike, len(steps))} of {len(steps):,} steps are about the "
            f"usual one, the median is {name}. Windows are made of rows, whatever time lies between them: "
            "horizon and season count rows. Resample the table to a fixed interval if they should count time"
        )
    if not ordinal and getattr(index.snapshot.schema.field(index.keys.time).type, "tz", None) is None:
        reasons.remark(f"{index.keys.time!r} has no time zone: it is taken as UTC")
    return rhythm


def _meant(median: float, otherwise: int) -> int:
    """The natural length that a clock which jitters most likely means; months have none."""
    nearest = min(_NATURAL, key=lambda length: abs(length - median))
    return nearest if abs(nearest - median) <= _JITTER * nearest else otherwise


def choose_gap(rhythm: Rhythm, sample: Sample, window: int, reasons: Reasons) -> timedelta | None:
    """The longest step inside a window: one interval, unless that leaves too few windows.

    Args:
        rhythm: of the table.
        sample: of its rows.
        window: rows of a window.
        reasons: are told.
    """
    if rhythm.ordinal:
        reasons.add("table.max_gap", "times are whole numbers: a series is never cut")
        if len(sample.steps()) and sample.steps().max() > rhythm.interval:
            reasons.remark("some whole numbers are left out: windows go on over these gaps")
        return None
    steps = np.diff(sample.times)
    inside = np.diff(sample.run) == 0
    longest = int(steps[inside].max(initial=rhythm.interval))
    if not rhythm.regular:
        reasons.add("table.max_gap", f"{_IRREGULAR_GAP} medians: sampling is irregular")
        return timedelta(microseconds=_IRREGULAR_GAP * rhythm.interval)
    base = rhythm.interval if longest == rhythm.interval else _slack(rhythm.interval, steps[inside])
    whole = _windows(np.flatnonzero(~inside), len(sample), window)
    gap, kept = base, 0
    for multiple in _MULTIPLES:
        gap = base * multiple
        cut = np.flatnonzero(~inside | (steps > gap))
        kept = _windows(cut, len(sample), window)
        if kept >= _ENOUGH * whole:
            break
    cuts = int(np.sum(inside & (steps > gap)))
    over = int(np.sum(inside & (steps > base) & (steps <= gap)))
    why = "one sampling interval: a longer gap cuts a series, so no window spans one"
    if gap != base:
        why = (
            f"{gap // base} sampling intervals: cutting at each of the {cuts + over:,} gaps looked at "
            f"would leave few windows whole; {over:,} short ones are left inside windows, where the rows "
            "on both sides follow each other"
        )
    reasons.add("table.max_gap", why)
    if cuts:
        reasons.remark(f"{cuts:,} gaps longer than {duration(gap)} cut the series looked at")
    return timedelta(microseconds=gap)


def _slack(interval: int, steps: NDArray[np.int64]) -> int:
    """The interval; a tenth more where steps are only about as long: months, and clocks that jitter."""
    longest = math.floor((1 + _ALIKE) * interval)
    return longest if bool(np.any((steps > interval) & (steps <= longest))) else interval


def _windows(cut: NDArray[np.intp], rows: int, window: int) -> int:
    """Windows that fit between cuts, each after the row of its number."""
    lengths = np.diff(np.concatenate([[-1], cut, [rows - 1]]))
    return int(np.maximum(lengths - window + 1, 0).sum())
