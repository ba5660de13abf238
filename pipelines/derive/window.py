"""Horizon, context, patch and lag: how much of a series a window holds, and how the model reads it."""

import math
from dataclasses import dataclass

from lstm.windows.spec import WindowSpec
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive, Request
from pipelines.derive.rhythm import Rhythm
from pipelines.derive.season import Season
from pipelines.derive.words import DAY, HOUR, duration

LONGEST = 2016
"""Rows that a season, and so a context, may have: a week of 5 minutes."""
_AHEAD = 288
"""Rows that a default horizon may have: the model's cost grows with them."""
_CYCLES = (7, 3, 2)
"""Cycles that a context holds, as far as they are at most this many rows:"""
_CONTEXT = 672
_LSTM_ROWS = 36
"""Rows that enter the LSTM one after the other, after patching: its cost."""
_PARTS = 6
"""A series is at least so many horizons long."""
_FEWEST = 16
"""Rows of a series from which anything can be learned at all."""
_DEFAULT = 12
_PART, _PART_OF_MANY, _MANY = 0.6, 0.9, 20
"""Share of the training rows that a window may span, of few series and of many."""
_BY_INTERVAL = ((DAY, 14), (7 * DAY, 8), (28 * DAY, 12), (90 * DAY, 8), (365 * DAY, 4))


@dataclass(frozen=True, slots=True)
class Room:
    """What the history allows."""

    rows: int
    """Rows of a typical series, or of its longest stretches where gaps cut it."""
    training: int
    """Those of them before the validation split."""
    series: int = 1
    """Of one, windows must move over a good part of the training rows; many have windows enough."""

    def context(self, horizon: int) -> int:
        """The longest context."""
        part = _PART if self.series < _MANY else _PART_OF_MANY
        return min(LONGEST, max(1, int(part * self.training) - horizon))


def choose_horizon(rhythm: Rhythm, length: int, wish: Request, reasons: Reasons) -> int:
    """How many rows to forecast.

    Raises:
        CannotDerive: the series are too short for any window.
    """
    if length < _FEWEST:
        raise CannotDerive(
            f"series typically have {length} rows (or as few between two gaps), and fewer than {_FEWEST} "
            "cannot be divided into training, validation and a horizon; ingest more rows, or correct "
            "--time and --entity"
        )
    if wish.horizon is not None:
        reasons.add("window.horizon", f"as told (--horizon): {rhythm.say(wish.horizon)}")
        return wish.horizon
    wanted, why = _usual_horizon(rhythm)
    if wanted > length // _PARTS:
        wanted = max(1, length // _PARTS)
        why = f"a {_PARTS}th of the {length} rows of a typical series: {rhythm.say(wanted)}"
    reasons.add("window.horizon", f"{why}; --horizon chooses another")
    return wanted


def _usual_horizon(rhythm: Rhythm) -> tuple[int, str]:
    if rhythm.ordinal:
        return 24, "24 rows, as times are whole numbers"
    if not rhythm.regular:
        return _DEFAULT, f"{_DEFAULT} rows, as sampling is irregular"
    if rhythm.interval < DAY:
        for length, name in ((DAY, "a day"), (HOUR, "an hour")):
            rows = length // rhythm.interval
            if 4 <= rows <= _AHEAD:
                return rows, f"{name} ahead: {rows} rows of {duration(rhythm.interval)}"
        return 60, rhythm.say(60)
    rows = next((rows for least, rows in reversed(_BY_INTERVAL) if rhythm.interval >= least), _DEFAULT)
    return rows, rhythm.say(rows)


def choose_window(
    rhythm: Rhythm, season: Season, horizon: int, room: Room, reasons: Reasons
) -> tuple[WindowSpec, int, int]:
    """The window (of stride 1), the patch and the lag.

    Raises:
        CannotDerive: no context fits beside the horizon.
    """
    most = room.context(horizon)
    if most < max(2, horizon // 4):
        raise CannotDerive(
            f"a horizon of {horizon} rows leaves no room for a context: of {room.rows} rows of a typical "
            f"series (or stretch between gaps) {room.training} are for training; choose a --horizon of at "
            f"most {max(1, room.rows // _PARTS)}, or ingest more rows"
        )
    lag = season.cycle if season.rows > 1 else horizon
    count = next((it for it in _CYCLES if it * lag <= min(most, _CONTEXT)), 1)
    context = min(most, max(season.rows, count * lag, 2 * horizon))
    why = f"{rhythm.say(context)}: " + _contents(context, season, lag)
    if context == most and room.training < LONGEST:
        why += f"; bounded by the {room.training} training rows of a typical series"
    patch = _patch(context)
    if context % patch:
        up = -(-context // patch) * patch
        context = up if up <= most else context // patch * patch
    reasons.add("window.context", why)
    steps = context // patch
    reasons.add(
        "forecast.patch",
        f"{patch} rows enter the LSTM as one step: {steps} steps, at most about {_LSTM_ROWS} keep it fast"
        if patch > 1
        else f"row by row: {steps} rows are few",
    )
    lag = min(lag, context)
    reasons.add(
        "forecast.lag",
        f"the target's cycle, {rhythm.say(lag)}: the model sees the target whole cycles before each step"
        if season.rows > 1
        else "no cycle was found: the horizon itself",
    )
    return WindowSpec(context=context, horizon=horizon), patch, lag


def _contents(context: int, season: Season, lag: int) -> str:
    if season.rows == 1:
        return "twice the horizon or more"
    if context < season.rows:
        return f"less than a season ({season.rows} rows)"
    if season.rows > lag:
        return f"{context / season.rows:.3g} of the season ({season.name}), {context / lag:.3g} of its cycle"
    return f"{context / season.rows:.3g} times the season ({season.name})"


def _patch(context: int) -> int:
    """The smallest patch that divides the context into few steps; else the smallest that about does."""
    least = math.ceil(context / _LSTM_ROWS)
    return next((patch for patch in range(least, 4 * least + 1) if not context % patch), least)


def choose_stride(windows: int, most: int, cycle: int, reasons: Reasons) -> int:
    """Rows between windows: 1, unless the budget cannot see them all.

    Args:
        windows: of stride 1.
        most: that are wanted.
        cycle: whose rows windows shall begin at in turn.
        reasons: are told.
    """
    stride = max(1, -(-windows // most))
    while stride > 1 and math.gcd(stride, cycle) != 1:
        stride += 1
    why = f"of {windows:,} windows every {stride}th: what training sees in its time; neighbours are alike"
    reasons.add("window.stride", "every window" if stride == 1 else why)
    return stride
