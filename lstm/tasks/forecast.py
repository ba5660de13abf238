"""Forecasting: what a batch of windows means to a model, what its loss is, and what comes out.

The model reads the target and the `past` columns over the context, and the calendar of the whole window. Of
the horizon's rows only the target is read, and only as the label: none of their values enters a forecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lstm.models import Forecaster, pinball
from lstm.tasks.clock import HOURLY, Clock
from lstm.tasks.forecast_config import ForecastConfig, WrongForecast, check_window
from lstm.tasks.target_scale import TargetScale
from lstm.windows.batch import Batch
from lstm.windows.features.calendar import Calendar, NoCalendar
from lstm.windows.features.scaling import Scaling, fit_scaling
from lstm.windows.features.series_scaling import SeriesScaling, fit_series_scaling
from lstm.windows.plan.plan import Plan
from lstm.windows.spec import WindowSpec
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A batch as tensors. B windows, C rows of context, H of horizon, T = C + H, F columns, K of calendar."""

    past: Tensor
    """[B, C, F] Scaled columns over the context, the target first; 0 where unknown."""
    level: Tensor
    """[B, 1] Level of the target's scale in natural units."""
    spread: Tensor
    """[B, 1] Its unit, in natural units."""
    known: Tensor
    """[B, C, F] 1 where the context is known, else 0."""
    calendar: Tensor
    """[B, T, K] The clock and the week of every row."""
    target: Tensor
    """[B, H] The target in natural units; 0 where unknown."""
    target_known: Tensor
    """[B, H] 1 where the target is known, else 0."""

    def within(self, rows: int) -> "Inputs":
        """The same with only the first `rows` of the horizon's targets known."""
        known = self.target_known.clone()
        known[:, rows:] = 0
        return replace(self, target_known=known)


class ForecastTask:
    """One forecast: its columns, its model, its loss, its predictions."""

    def __init__(
        self,
        config: ForecastConfig,
        *,
        window: WindowSpec,
        series: Sequence[str | int | None],
        scaling: Scaling,
        clock: Clock = HOURLY,
        by_series: SeriesScaling | None = None,
    ) -> None:
        """`by_series`: of the target, for scale `series`.

        Raises WrongForecast where config, window and scaling do not fit each other.
        """
        self.config, self.window, self.series, self.scaling = config, window, tuple(series), scaling
        self.clock = clock
        self.columns: tuple[str, ...] = (config.target, *config.past)
        self.features = config.features
        """What a reader of this task's windows is given: `columns` with their null policies."""
        self._filled = [place for place, it in enumerate(self.features) if it.nulls == "forward_fill"]
        self.calendar = NoCalendar() if clock.ordinal else Calendar(config.timezone)
        check_window(config, window)
        if missing := [name for name in self.columns if name not in scaling.columns]:
            raise WrongForecast(f"no scaling for columns {missing}; it knows {sorted(scaling.columns)}")
        places = [scaling.columns.index(name) for name in self.columns]
        if unknown := [scaling.columns[place] for place in places if not scaling.count[place]]:
            raise WrongForecast(
                f"columns {unknown} hold no known value in the training rows; leave them out, "
                "or give training a larger share"
            )
        self._mean_F, self._std_F = (
            np.array([moment[place] for place in places], np.float32)
            for moment in (scaling.mean, scaling.std)
        )
        self._std_F[self._std_F == 0] = 1.0  # a constant column becomes 0: it says nothing
        self._scale = TargetScale(
            scale=config.scale,
            mean=float(self._mean_F[0]),
            deviation=float(self._std_F[0]),
            linear=config.linear,
        )
        self._levels = torch.tensor(config.quantiles)
        self.by_series = by_series
        self.unmeasured: tuple[str | int | None, ...] = ()
        """With scale `series`: those without a training row; they take mean and deviation of all rows."""
        if config.scale == "series":
            if by_series is None:
                raise WrongForecast("scale series needs the target's statistics by series")
            level, spread, self.unmeasured = by_series.of(self.series)
            self._level_S1, self._spread_S1 = level.astype(np.float32), spread.astype(np.float32)
            self._spread_S1[self._spread_S1 == 0] = 1.0

    def means_and_deviations(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[F] of the known values of training rows, in the order of `columns`; a constant deviates by 1."""
        return self._mean_F, self._std_F

    @classmethod
    def fit(cls, config: ForecastConfig, snapshot: Snapshot, plan: Plan) -> Self:
        """The task for a plan, with its scaling measured on the plan's training rows."""
        scaling = fit_scaling(snapshot, plan, (config.target, *config.past))
        own = fit_series_scaling(snapshot, plan, (config.target,)) if config.scale == "series" else None
        clock = Clock(interval=plan.interval, ordinal=plan.keys.ordinal)
        return cls(
            config, window=plan.window, series=plan.series, scaling=scaling, clock=clock, by_series=own
        )

    def on(self, plan: Plan) -> Self:
        """The same task for batches of another plan, of other series: what was measured is kept."""
        return type(self)(
            self.config,
            window=plan.window,
            series=plan.series,
            scaling=self.scaling,
            clock=self.clock,
            by_series=self.by_series,
        )

    def build_model(self) -> nn.Module:
        """A fresh model, its weights drawn from torch's current generator."""
        config = self.config
        return Forecaster(
            features=len(self.columns),
            calendar=Calendar.features,
            context=self.window.context,
            horizon=self.window.horizon,
            hidden=config.hidden,
            layers=config.layers,
            dropout=config.dropout,
            patch=config.patch,
            lag=config.lag,
            levels=config.quantiles,
            shortcut=(config.lag, config.season) if config.shortcut else None,
        )

    def inputs(self, batch: Batch) -> Inputs:
        """Tensors of a batch of `features`; of 0 windows too. What was filled is seen, as unknown."""
        context, own = self.window.context, len(self.columns)
        past = batch.values[:, :context, :own]
        known = ~np.isnan(past)
        there = known
        if self._filled:
            known = known.copy()
            known[..., self._filled] &= batch.values[:, :context, own:] == 0
        if self.config.scale == "series":
            level, spread = self._level_S1[batch.series], self._spread_S1[batch.series]
        else:
            level, spread = self._scale.measure(past[..., 0])
        plain = (past - self._mean_F) / self._std_F
        plain[..., 0] = (past[..., 0] - level) / spread
        # Other columns are bent too: a reading far out must not drown the rest.
        plain[..., 0], plain[..., 1:] = self._scale.bend(plain[..., 0]), np.arcsinh(plain[..., 1:])
        target = batch.values[:, context:, 0]
        return Inputs(
            past=torch.from_numpy(np.where(there, plain, np.float32(0))),
            level=torch.from_numpy(level),
            spread=torch.from_numpy(spread),
            known=torch.from_numpy(known.astype(np.float32)),
            calendar=torch.from_numpy(self.calendar.encode(batch.times)),
            target=torch.from_numpy(np.nan_to_num(target)),
            target_known=torch.from_numpy((~np.isnan(target)).astype(np.float32)),
        )

    def loss(self, model: nn.Module, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Sum of the pinball loss over known targets, and their count.

        The loss is the mean over quantiles, in deviations of the target, so that a median is trained on the
        very error that is reported; with scale `window` in spreads of the window. All parameters take part,
        also where no target is known.
        """
        target = (inputs.target - inputs.level) / inputs.spread
        error = pinball(self._plain(model, inputs), target, self._levels).mean(-1)
        loss = (error * inputs.target_known).sum() * self._scale.weight
        return loss, inputs.target_known.sum()

    @torch.inference_mode()
    def predict(self, model: nn.Module, inputs: Inputs) -> NDArray[np.float32]:
        """[B, H, Q] quantiles in natural units, rising along Q; leaves the model's mode as it is."""
        training = model.training
        model.eval()
        plain = self._plain(model, inputs)
        model.train(training)
        forecast = plain * inputs.spread.unsqueeze(2) + inputs.level.unsqueeze(2)
        return np.asarray(forecast.numpy(), np.float32)

    def state(self) -> dict[str, Any]:
        """JSON-able; `from_state` restores it, exact to the bit."""
        return {
            "config": asdict(self.config),
            "window": asdict(self.window),
            "series": list(self.series),
            "scaling": self.scaling.to_json(),
            **({} if self.by_series is None else {"by_series": self.by_series.to_json()}),
            "clock": asdict(self.clock),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `state`, also after a trip through JSON text."""
        return cls(
            ForecastConfig.from_json(state["config"]),
            window=WindowSpec(**state["window"]),
            series=state["series"],
            scaling=Scaling.from_json(state["scaling"]),
            clock=Clock(**state.get("clock", {})),
            by_series=SeriesScaling.from_json(state["by_series"]) if "by_series" in state else None,
        )

    def _plain(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """[B, H, Q] forecasts around the level, in spreads."""
        return self._scale.unbend(model(inputs.past, inputs.known, inputs.calendar))
