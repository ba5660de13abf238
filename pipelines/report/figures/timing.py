"""Where the seconds of the training went, and how fast it was."""

from pipelines.report.content import Timing
from pipelines.report.figures.figure import Figure, colour, layout, note_at, vertical
from pipelines.report.wording import seconds

_PARTS = (
    ("computing", "computing_s", "model"),
    ("waiting for data", "waiting_s", "amber"),
    ("validating", "validating_s", "green"),
    ("saving", "saving_s", "purple"),
)


def parts(timing: Timing) -> Figure:
    """Seconds between one report and the next, by what they were spent on."""
    sums = {name: sum(getattr(timing, field)) for name, field, _ in _PARTS}
    return Figure(
        id="seconds",
        title="Where the time goes",
        caption="Seconds of the first rank between one progress report and the next. "
        + ", ".join(f"{name}: {seconds(total)}" for name, total in sums.items())
        + ".",
        alt="Seconds: " + ", ".join(f"{name} {seconds(total)}" for name, total in sums.items()) + ".",
        traces=[
            {
                "type": "bar",
                "name": name,
                "x": timing.steps,
                "y": getattr(timing, field),
                "marker": {"color": colour(tint)},
                "hovertemplate": "%{y:.2f} s",
            }
            for name, field, tint in _PARTS
        ],
        layout=layout(
            x="step",
            y="seconds",
            barmode="stack",
            bargap=0.15,
            shapes=[vertical(step) for step in timing.resumed_at],
            annotations=[note_at(step, " resumed") for step in timing.resumed_at[:20]],
        ),
    )


def speed(timing: Timing) -> Figure | None:
    """Windows per second, over all ranks."""
    known = [value for value in timing.windows_per_s if value is not None]
    if not known:
        return None
    middle = sorted(known)[len(known) // 2]
    return Figure(
        id="speed",
        title="Speed",
        caption=f"Windows per second of all ranks, validating and saving included; half of the time at least "
        f"{middle:,.0f}.",
        alt=f"Between {min(known):,.0f} and {max(known):,.0f} windows per second, median {middle:,.0f}.",
        traces=[
            {
                "type": "scatter",
                "name": "windows/s",
                "x": timing.steps,
                "y": timing.windows_per_s,
                "mode": "lines+markers" if len(known) < 60 else "lines",
                "marker": {"size": 4, "color": colour("model")},
                "line": {"color": colour("model"), "width": 2},
                "connectgaps": True,
                "hovertemplate": "%{y:,.0f} windows/s<extra></extra>",
                "showlegend": False,
            }
        ],
        layout=layout(
            x="step",
            y="windows per second",
            legend=False,
            x_axis={"zeroline": False},
            y_axis={"rangemode": "tozero"},
            shapes=[vertical(step) for step in timing.resumed_at],
        ),
    )
