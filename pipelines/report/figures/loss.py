"""Loss over steps: training by report, training and validation by commit."""

from pipelines.report.content import Curves
from pipelines.report.figures.figure import Figure, Trace, colour, layout, note_at, vertical
from pipelines.report.wording import number

_WIDE = 20
"""Largest loss ÷ smallest from which the axis is logarithmic."""


def loss(curves: Curves) -> Figure | None:
    """The curves of a run, with the places where it was resumed."""
    traces: list[Trace] = []
    if any(value is not None for value in curves.losses):
        traces.append(_line("training", curves.steps, curves.losses, "muted", "lines", 1.5))
    trained = [point for point in curves.commits if point.training_loss is not None]
    if trained and not traces:
        steps, values = [it.step for it in trained], [it.training_loss for it in trained]
        traces.append(_line("training, since the commit before", steps, values, "sky", "lines+markers", 1.5))
    validated = [point for point in curves.commits if point.validation_loss is not None]
    if validated:
        steps, values = [it.step for it in validated], [it.validation_loss for it in validated]
        traces.append(_line("validation", steps, values, "model", "lines+markers", 2.5))
    own = next((point for point in curves.commits if point.id == curves.chosen), None)
    if own is not None and own.validation_loss is not None:
        star = _line(
            f"this report: step {own.step:,}", [own.step], [own.validation_loss], "model", "markers", 0
        )
        traces.append({**star, "marker": {"symbol": "star", "size": 15, "color": colour("model")}})
    if not traces:
        return None
    known = [y for trace in traces for y in trace["y"] if y is not None]
    wide = min(known) > 0 and max(known) / min(known) > _WIDE
    return Figure(
        id="loss",
        title="Loss",
        caption="The mean pinball loss over all quantiles, in deviations of the target: lower is better. "
        "Validation uses the same windows each time; where it rises while training falls, the model has "
        "begun to memorise.",
        alt=_alt(curves),
        traces=traces,
        layout=layout(
            x="step",
            y="loss (log scale)" if wide else "loss",
            x_axis={"range": [0, 1.02 * max(curves.budget, *(x for trace in traces for x in trace["x"]))]},
            y_axis={"type": "log"} if wide else {},
            shapes=[vertical(step) for step in curves.resumed_at],
            annotations=[note_at(step, " resumed") for step in curves.resumed_at[:20]],
        ),
    )


def _line(name: str, x: object, y: object, tint: str, mode: str, width: float) -> Trace:
    return {
        "type": "scatter",
        "name": name,
        "x": x,
        "y": y,
        "mode": mode,
        "line": {"color": colour(tint), "width": width},
        "marker": {"color": colour(tint), "size": 7},
        "hovertemplate": "%{y:.4f}",
    }


def _alt(curves: Curves) -> str:
    validated = [point for point in curves.commits if point.validation_loss is not None]
    words = f"Loss over {curves.budget:,} steps."
    if validated:
        first, last = validated[0], validated[-1]
        best = min(validated, key=lambda point: point.validation_loss or 0.0)
        words += (
            f" Validation: {number(first.validation_loss)} at step {first.step:,}, "
            f"{number(last.validation_loss)} at step {last.step:,}, lowest {number(best.validation_loss)} "
            f"at step {best.step:,}."
        )
    if curves.resumed_at:
        words += f" Resumed at step {', '.join(f'{step:,}' for step in curves.resumed_at[:10])}."
    return words
