"""A model beside four baselines on the same test windows."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from lstm.tasks.baselines import LAST_SEASON, baseline_names, fit_baselines
from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import WrongForecast
from lstm.tasks.metrics import Errors, QuantileErrors
from lstm.tasks.scaled import scaled_figures, seasonal_scale
from lstm.tasks.shown_series import shown_series
from lstm.tasks.training_rows import TrainingRows
from lstm.windows.batch import Batch


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Reports as `lstm.tasks.metrics` makes them: plain values, in the target's unit."""

    target: str
    windows: int
    model: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    names: dict[str, str] = field(default_factory=dict)
    """What the model and the baselines are called before people; see `name`."""

    series: dict[str, Any] = field(default_factory=dict)
    """How many series there are and which of them are told one by one; see `lstm.tasks.shown_series`."""

    def name(self, key: str) -> str:
        """What people call a baseline, or the model."""
        return self.names.get(key, key.replace("_", " "))

    @property
    def lost_to(self) -> tuple[str, ...]:
        """Baselines that the model does not beat in mean absolute error over all, the best first.

        All of them where the model's error is no finite number.
        """
        own = _error(self.model)
        errors = {name: _error(report) for name, report in self.baselines.items()}
        return tuple(sorted((name for name in errors if not own < errors[name]), key=errors.__getitem__))

    @property
    def best_baseline(self) -> str:
        """The baseline with the lowest mean absolute error over all."""
        return min(self.baselines, key=lambda name: _error(self.baselines[name]))

    def to_json(self) -> dict[str, Any]:
        """Everything, with what follows from it."""
        return {**asdict(self), "best_baseline": self.best_baseline, "lost_to": list(self.lost_to)}


def _error(report: dict[str, Any]) -> float:
    """The mean absolute error over all; infinite where it is no finite number, since NaN beats nothing."""
    error: float = report["all"]["mae"]
    return error if math.isfinite(error) else math.inf


def evaluate(
    task: ForecastTask, model: nn.Module, *, test: Iterable[Batch], train: Iterable[Batch]
) -> Evaluation:
    """Fit the baselines on `train`, forecast `test` with them and with the model, compare.

    Args:
        test: every test window once; batches are of `task.columns`.
        train: every training window once; the same windows in the same order give the same figures.

    Raises:
        WrongForecast: no target of the training windows, or of the test windows, is known.
    """
    rows = TrainingRows()
    baselines = fit_baselines(task, train, rows)
    series, horizon, context = len(task.series), task.window.horizon, task.window.context
    own = QuantileErrors(series, horizon, task.config.quantiles)
    others = {name: Errors(series, horizon) for name in baselines}
    windows = 0
    for batch in test:
        windows += len(batch)
        target = batch.values[:, context:, 0]
        own.add(task.predict(model, task.inputs(batch)), target, batch.series)
        for name, baseline in baselines.items():
            others[name].add(baseline.predict(batch), target, batch.series)
    if not own.count_S.any():
        raise WrongForecast(
            f"none of the {windows} test windows has a known {task.config.target!r} in its horizon; "
            "give the test split a larger share"
        )
    shown, counts = shown_series(own, others[LAST_SEASON])
    names = {number: str(task.series[number]) for number in shown}
    scale = seasonal_scale(rows, series, task.config.season)
    return Evaluation(
        target=task.config.target,
        windows=windows,
        model={**own.report(names), "scaled": scaled_figures(own, scale)},
        baselines={
            name: {**errors.report(names), "scaled": scaled_figures(errors, scale)}
            for name, errors in others.items()
        },
        names={"model": "model", **baseline_names(task)},
        series=counts,
    )
