"""What is missing in the table, where, and how long its gap-free stretches are."""

from itertools import pairwise

from pipelines.display.names import label
from pipelines.report.content import Column, Coverage, Quality
from pipelines.report.figures.figure import Figure, colour, layout
from pipelines.report.wording import share


def columns(shown: tuple[Column, ...]) -> Figure | None:
    """The share of rows without a value, by column."""
    known = [column for column in reversed(shown) if column.missing is not None]
    if not known:
        return None
    return Figure(
        id="columns",
        title="Missing values by column",
        caption="Shares of the table's rows. Missing values are never filled: the model is told that they "
        "are unknown.",
        alt="; ".join(f"{column.name}: {share(column.missing)} missing" for column in reversed(known)) + ".",
        traces=[
            {
                "type": "bar",
                "orientation": "h",
                "x": [column.missing for column in known],
                "y": list(range(len(known))),
                "text": [share(column.missing) for column in known],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": [colour("model" if it.role == "target" else "sky") for it in known]},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        ],
        layout=layout(
            x="rows without a value",
            y="",
            height=70 + 26 * len(known),
            legend=False,
            x_axis={"range": [0, 1.1], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]},
            y_axis={
                "tickmode": "array",
                "tickvals": list(range(len(known))),
                "ticktext": [label(column.name, 26) for column in known],
                "showgrid": False,
                "zeroline": False,
                "range": [-0.6, len(known) - 0.4],
            },
            hovermode="closest",
        ),
    )


def missing_map(coverage: Coverage) -> Figure | None:
    """Where the target is missing: series by time."""
    if not coverage.series:
        return None
    some = len(coverage.series) < coverage.shown_of
    return Figure(
        id="missing-map",
        title="Where the target is missing",
        caption="Each cell is a stretch of time of one series: pale has every value, strong has none. Rows "
        "that are absent count as missing."
        + (f" The {len(coverage.series)} of {coverage.shown_of:,} series that lack most." if some else ""),
        alt=f"A map of {len(coverage.series)} series over {len(coverage.times)} stretches of time: the share "
        "of the target that is missing.",
        traces=[
            {
                "type": "heatmap",
                "x": coverage.times,
                "y": list(range(len(coverage.series))),
                "z": coverage.by_series,
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, colour("none")], [0.5, colour("half")], [1, colour("dark")]],
                "colorbar": {
                    "tickformat": ".0%",
                    "thickness": 10,
                    "outlinewidth": 0,
                    "tickvals": [0, 0.5, 1],
                    "tickfont": {"size": 11},
                },
                "xgap": 1,
                "ygap": 1,
                "text": [[label(name)] * len(coverage.times) for name in coverage.series]
                if len(coverage.series) <= 12
                else None,
                "hovertemplate": "%{z:.0%} missing<extra></extra>",
            }
        ],
        layout=layout(
            x="time" if coverage.ordinal else "time (UTC)",
            y="",
            height=90 + 16 * max(4, len(coverage.series)),
            legend=False,
            x_axis={} if coverage.ordinal else {"type": "date"},
            y_axis={
                "tickmode": "array",
                "tickvals": list(range(len(coverage.series))),
                "ticktext": [label(name, 22) for name in coverage.series],
                "showgrid": False,
                "autorange": "reversed",
            },
            hovermode="closest",
        ),
    )


def missing_over_time(coverage: Coverage) -> Figure | None:
    """The share of rows without a target, over time: of all series together."""
    if coverage.series or all(value is None for value in coverage.missing):
        return None
    known = [value for value in coverage.missing if value is not None]
    return Figure(
        id="missing-over-time",
        title="Missing target over time",
        caption="Shares of the rows that are there, over all series.",
        alt=f"Between {share(min(known))} and {share(max(known))} of the rows of a stretch of time lack "
        "the target.",
        traces=[
            {
                "type": "bar",
                "x": coverage.times,
                "y": coverage.missing,
                "marker": {"color": colour("model")},
                "hovertemplate": "%{y:.1%} missing",
                "showlegend": False,
            }
        ],
        layout=layout(
            x="time" if coverage.ordinal else "time (UTC)",
            y="share of rows",
            height=260,
            legend=False,
            x_axis={} if coverage.ordinal else {"type": "date"},
            y_axis={"tickformat": ".0%", "rangemode": "tozero", "range": [0, max(0.05, max(known) * 1.1)]},
            bargap=0.1,
        ),
    )


def segments(quality: Quality) -> Figure | None:
    """How long the gap-free stretches are."""
    total = sum(quality.segment_counts)
    if len(quality.segment_counts) < 2:  # all are as long
        return None
    edges = quality.segment_rows
    bars = [f"{low:,}" if high - low == 1 else f"{low:,} to {high - 1:,}" for low, high in pairwise(edges)]
    return Figure(
        id="segments",
        title="Gap-free stretches by length",
        caption="A window needs context + horizon rows without a gap; shorter stretches are of no use.",
        alt=f"Histogram of {total:,} segments, from {edges[0]:,} to {edges[-1] - 1:,} rows long.",
        traces=[
            {
                "type": "bar",
                "x": list(range(len(bars))),
                "y": quality.segment_counts,
                "text": bars,
                "textposition": "none",
                "marker": {"color": colour("sky")},
                "hovertemplate": "%{text} rows: %{y:,} segments<extra></extra>",
                "showlegend": False,
            }
        ],
        layout=layout(
            x="rows",
            y="segments",
            height=260,
            legend=False,
            x_axis={
                "tickmode": "array",
                "tickvals": list(range(0, len(bars), max(1, len(bars) // 6))),
                "ticktext": [f"{edges[place]:,}" for place in range(0, len(bars), max(1, len(bars) // 6))],
            },
            bargap=0.05,
            hovermode="closest",
        ),
    )
