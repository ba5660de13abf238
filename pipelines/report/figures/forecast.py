"""Forecast against actual, one picture per series."""

from itertools import chain
from typing import Any

from pipelines.display.names import label
from pipelines.report.content import Forecasts, SeriesForecast, Window
from pipelines.report.figures.figure import Figure, Trace, Variant, colour, layout, vertical
from pipelines.report.wording import number, share

_JOINED = 2
"""Horizon, in rows, up to which the windows are drawn as one line: points alone would be lost."""


def forecast(forecasts: Forecasts) -> Figure | None:
    """The quantiles as bands around their median, the target as it came, and where each forecast begins."""
    if not forecasts.series:
        return None
    kind = {} if forecasts.ordinal else {"type": "date"}
    low, high = forecasts.levels[0], forecasts.levels[-1]
    return Figure(
        id="forecast",
        title="Forecast against actual",
        caption="Dotted lines mark where a forecast begins: nothing after them was known to it. The band "
        f"runs from quantile {low:g} to {high:g} and should hold about {share(high - low)} of the values. "
        f"{forecasts.rule}",
        alt=f"Forecasts of {forecasts.target} for {len(forecasts.series)} series, with the values as they "
        "came: "
        + " ".join(
            f"{each.name}: mean absolute error {number(each.mae)} ({each.why})." for each in forecasts.series
        ),
        traces=[],
        layout=layout(
            x="time" if forecasts.ordinal else "time (UTC)",
            y=label(forecasts.target),
            height=400,
            x_axis=kind,
        ),
        variants=tuple(_variant(each, forecasts) for each in forecasts.series),
    )


def _variant(series: SeriesForecast, forecasts: Forecasts) -> Variant:
    windows = _joined(series.windows)
    median = forecasts.levels.index(0.5)
    error = "" if series.mae is None else f", MAE {number(series.mae)}"
    traces: list[Trace] = []
    pairs = len(forecasts.levels) // 2
    for place in range(pairs):
        low, high = forecasts.levels[place], forecasts.levels[-1 - place]
        x, y = _band(windows, place, len(forecasts.levels) - 1 - place)
        traces.append(
            {
                "type": "scatter",
                "name": f"quantiles {low:g} to {high:g}",
                "x": x,
                "y": y,
                "mode": "lines",
                "fill": "toself",
                "fillcolor": colour("band"),
                "line": {"width": 0, "color": colour("band")},
                "hoverinfo": "skip",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "name": "actual",
            "x": series.times,
            "y": series.actual,
            "mode": "lines+markers",
            "line": {"color": colour("ink"), "width": 1.5},
            "marker": {"color": colour("ink"), "size": 3},
            "hovertemplate": "%{y:.5g}",
        }
    )
    traces.append(
        {
            "type": "scatter",
            "name": "forecast (median)",
            "x": _spaced([window.times for window in windows]),
            "y": _spaced([window.quantiles[median] for window in windows]),
            "customdata": _bounds(windows),
            "mode": "lines+markers" if max(len(it.times) for it in windows) <= _JOINED else "lines",
            "line": {"color": colour("model"), "width": 2.5},
            "hovertemplate": "%{y:.5g} (%{customdata[0]:.5g} to %{customdata[1]:.5g})",
        }
    )
    begins = [vertical(window.times[0]) for window in windows]
    return Variant(label=f"{series.name}: {series.why}{error}", traces=traces, shapes=begins)


def _joined(windows: tuple[Window, ...]) -> list[Window]:
    if not windows or len(windows[0].times) > _JOINED:
        return list(windows)
    times = tuple(chain.from_iterable(window.times for window in windows))
    levels = range(len(windows[0].quantiles))
    quantiles = tuple(
        tuple(chain.from_iterable(window.quantiles[level] for window in windows)) for level in levels
    )
    return [Window(times=times, quantiles=quantiles)]


def _spaced(parts: list[Any]) -> list[Any]:
    """One list with a None between the parts, where the line breaks."""
    joined = chain.from_iterable([*part, None] for part in parts)
    return list(joined)[:-1]


def _band(windows: list[Window], low: int, high: int) -> tuple[list[Any], list[Any]]:
    """Outlines of the area between two quantiles; a window with a value that is no number has none."""
    x: list[Any] = []
    y: list[Any] = []
    for window in windows:
        lower, upper = window.quantiles[low], window.quantiles[high]
        if None in lower or None in upper:
            continue
        x += [*window.times, *reversed(window.times), None]
        y += [*lower, *reversed(upper), None]
    return x[:-1], y[:-1]


def _bounds(windows: list[Window]) -> list[Any]:
    pairs = [list(zip(window.quantiles[0], window.quantiles[-1], strict=True)) for window in windows]
    return [[None, None] if pair is None else list(pair) for pair in _spaced(pairs)]
