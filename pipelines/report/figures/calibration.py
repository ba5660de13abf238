"""Whether the quantiles hold what they promise."""

from pipelines.report.content import Scores
from pipelines.report.figures.figure import Figure, colour, layout
from pipelines.report.wording import share


def reliability(scores: Scores) -> Figure | None:
    """The share of values up to each quantile, against the quantile's level."""
    pairs = [
        (level, seen) for level, seen in zip(scores.levels, scores.below, strict=True) if seen is not None
    ]
    if not pairs:
        return None
    return Figure(
        id="reliability",
        title="Quantiles",
        caption="Of all values, the share that came in at or below each quantile. On the diagonal the model "
        "means what it says; above it the quantile is too high, below it too low.",
        alt="; ".join(f"quantile {level:g} holds {share(seen)} of the values" for level, seen in pairs) + ".",
        traces=[
            {
                "type": "scatter",
                "name": "perfect",
                "x": [0, 1],
                "y": [0, 1],
                "mode": "lines",
                "line": {"color": colour("muted"), "width": 1, "dash": "dash"},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "name": "model",
                "x": [level for level, _ in pairs],
                "y": [seen for _, seen in pairs],
                "mode": "lines+markers+text",
                "text": [share(seen) for _, seen in pairs],
                "textposition": "bottom right",
                "line": {"color": colour("model"), "width": 2.5},
                "marker": {"color": colour("model"), "size": 9},
                "hovertemplate": "%{y:.1%} at or below quantile %{x}<extra></extra>",
            },
        ],
        layout=layout(
            x="level of the quantile",
            y="share of values at or below",
            x_axis={"range": [0, 1.04], "tickformat": ".0%"},
            y_axis={"range": [0, 1.04], "tickformat": ".0%"},
            hovermode="closest",
        ),
    )


def coverage(scores: Scores) -> Figure | None:
    """The share of values inside the interval, by step of the horizon."""
    seen = scores.coverage_by_step
    if all(value is None for value in seen):
        return None
    steps = list(range(1, len(seen) + 1))
    known = [value for value in seen if value is not None]
    return Figure(
        id="coverage",
        title="Interval by step of the horizon",
        caption=f"The share of values inside the interval; {share(scores.nominal)} are intended.",
        alt=f"Between {share(min(known))} and {share(max(known))} of the values are inside the interval, "
        f"{share(scores.nominal)} intended.",
        traces=[
            {
                "type": "scatter",
                "name": "intended",
                "x": [0.5, len(seen) + 0.5],
                "y": [scores.nominal] * 2,
                "mode": "lines",
                "line": {"color": colour("muted"), "width": 1, "dash": "dash"},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "name": "model",
                "x": steps,
                "y": seen,
                "mode": "lines+markers",
                "line": {"color": colour("model"), "width": 2.5},
                "marker": {"color": colour("model"), "size": 6},
                "hovertemplate": "%{y:.1%}",
            },
        ],
        layout=layout(
            x="rows ahead",
            x_axis={"range": [0.5, len(seen) + 0.5], "zeroline": False},
            y="share inside the interval",
            y_axis={"range": [0, 1.04], "tickformat": ".0%"},
        ),
    )
