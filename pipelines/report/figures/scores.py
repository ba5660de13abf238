"""The model beside the baselines: over all, by step of the horizon, by series."""

from itertools import pairwise
from typing import Any

from pipelines.display.names import label
from pipelines.report.content import Score, Scores
from pipelines.report.figures.figure import BASELINES, DASHES, Figure, colour, layout
from pipelines.report.wording import number


def overall(scores: Scores) -> Figure | None:
    """Mean absolute error of each forecast, the best at the top."""
    known = [each for each in scores.forecasts if each.mae is not None]
    if not known:
        return None
    ordered = sorted(known, key=lambda each: -(each.mae or 0.0))
    return Figure(
        id="overall",
        title="Mean absolute error",
        caption=f"Over {scores.windows:,} test windows and all steps of the horizon, in the unit of "
        f"{scores.target}: shorter is better.",
        alt="Mean absolute error: "
        + ", ".join(f"{each.name} {number(each.mae)}" for each in reversed(ordered))
        + ".",
        traces=[
            {
                "type": "bar",
                "orientation": "h",
                "x": [each.mae for each in ordered],
                "y": list(range(len(ordered))),
                "text": [number(each.mae) for each in ordered],
                "textposition": "auto",
                "marker": {"color": [colour("model" if it.key == "model" else "quiet") for it in ordered]},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        ],
        layout=layout(
            x=f"mean absolute error of {label(scores.target)}",
            y="",
            height=70 + 42 * len(ordered),
            legend=False,
            y_axis=_names([each.name for each in ordered]),
            x_axis={"rangemode": "tozero"},
            hovermode="closest",
        ),
    )


def by_step(scores: Scores) -> Figure | None:
    """How the error grows with the steps ahead."""
    traces = []
    for each in scores.forecasts:
        if all(value is None for value in each.by_step):
            continue
        traces.append(
            {
                "type": "scatter",
                "name": label(each.name),
                "x": list(range(1, len(each.by_step) + 1)),
                "y": each.by_step,
                "mode": "lines+markers" if len(each.by_step) <= 48 else "lines",
                "marker": {"size": 5},
                "line": _look(each, scores),
                "hovertemplate": "%{y:.4g}",
            }
        )
    if not traces:
        return None
    own = scores.forecasts[0].by_step
    return Figure(
        id="by-step",
        title="Error by step of the horizon",
        caption="How far ahead the model is still better than a simple rule.",
        alt=f"Mean absolute error of the model: {number(own[0])} one row ahead, {number(own[-1])} at row "
        f"{len(own)}.",
        traces=traces,
        layout=layout(
            x="rows ahead",
            y="mean absolute error",
            x_axis={"range": [0.5, len(own) + 0.5], "zeroline": False},
        ),
    )


def by_series(scores: Scores) -> Figure | None:
    """Model against the best baseline, one line per series."""
    keys = [each.key for each in scores.forecasts]
    best = keys.index(scores.best_baseline)
    known = [it for it in reversed(scores.series) if it.maes[0] is not None and it.maes[best] is not None]
    if not known:
        return None
    places = list(range(len(known)))
    joins: list[Any] = []
    for place in places:
        joins += [place, place, None]
    ends: list[Any] = []
    for each in known:
        ends += [each.maes[0], each.maes[best], None]
    name = scores.forecasts[best].name
    wins = sum(1 for it in known if (it.maes[0] or 0.0) < (it.maes[best] or 0.0))
    return Figure(
        id="by-series",
        title="Error by series",
        caption=f"The model beside {name}, sorted by their ratio; a blue dot to the left is a win. "
        f"{scores.series_note}".strip(),
        alt=f"Mean absolute error by series: the model is better than {name} in {wins} of the {len(known)} "
        "shown.",
        traces=[
            {
                "type": "scatter",
                "x": ends,
                "y": joins,
                "mode": "lines",
                "line": {"color": colour("quiet"), "width": 2},
                "hoverinfo": "skip",
                "showlegend": False,
            },
            _dots(label(name), [it.maes[best] for it in known], known, "amber", "diamond"),
            _dots("model", [it.maes[0] for it in known], known, "model", "circle"),
        ],
        layout=layout(
            x="mean absolute error",
            y="",
            height=120 + 22 * len(known),
            y_axis=_names([it.name for it in known]),
            hovermode="closest",
        ),
    )


def ratios(scores: Scores) -> Figure | None:
    """Of many series: how many the model is better on, and by how much."""
    if scores.series_total <= len(scores.series) or not sum(scores.ratio_counts):
        return None
    edges, counts = scores.ratios, scores.ratio_counts
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    won = sum(count for middle, count in zip(middles, counts, strict=True) if middle < 1)
    return Figure(
        id="ratios",
        title="All series",
        caption=f"Series by the model's error ÷ that of the best baseline; left of 1 the model is better. "
        f"The last bar holds all from 2 on. About {won:,} of {sum(counts):,} are left of 1.",
        alt=f"Histogram of {sum(counts):,} series: the model is better in about {won:,}.",
        traces=[
            {
                "type": "bar",
                "x": middles,
                "y": counts,
                "width": edges[1] - edges[0],
                "marker": {"color": [colour("model" if middle < 1 else "amber") for middle in middles]},
                "hovertemplate": "%{y} series<extra></extra>",
                "showlegend": False,
            }
        ],
        layout=layout(x="model's error ÷ best baseline's", y="series", height=280, legend=False, bargap=0.05),
    )


def _look(each: Score, scores: Scores) -> dict[str, Any]:
    if each.key == "model":
        return {"color": colour("model"), "width": 3}
    others = [it.key for it in scores.forecasts[1:]]
    place = others.index(each.key)
    return {
        "color": colour(BASELINES[place % len(BASELINES)]),
        "width": 1.5,
        "dash": DASHES[place % len(DASHES)],
    }


def _dots(name: str, x: list[float | None], known: list[Any], tint: str, symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "x": x,
        "y": list(range(len(known))),
        "text": [label(each.name) for each in known],
        "mode": "markers",
        "marker": {"color": colour(tint), "size": 9, "symbol": symbol},
        "hovertemplate": "%{text}: %{x:.4g}",
    }


def _names(names: list[str]) -> dict[str, Any]:
    """An axis that has names in place of numbers, so that no two series fall together."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [label(name, 26) for name in names],
        "showgrid": False,
        "zeroline": False,
        "range": [-0.6, len(names) - 0.4],
    }
