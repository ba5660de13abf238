"""What is done to a batch once its rows are copied: ids, scaling, roles, statics, calendar.

A batch of plain numbers goes through untouched.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.batch import Batch
from lstm.windows.features.calendar import Calendar
from lstm.windows.features.features import Features
from lstm.windows.features.scaling import Scaling
from lstm.windows.features.series_scaling import SeriesScaling
from lstm.windows.features.static import Statics
from lstm.windows.plan.plan import Plan
from lstm.windows.table.column import Column, Role

Array = NDArray[np.float32]


class Finish:
    """Finishes the batches of one plan and one choice of columns."""

    def __init__(
        self,
        features: Features,
        plan: Plan,
        *,
        statics: Statics | None = None,
        calendar: Calendar | None = None,
        scaling: Scaling | SeriesScaling | None = None,
    ) -> None:
        """Prepare to finish.

        Args:
            features: what the cells of a row are.
            plan: whose windows come.
            statics: values by the plan's series.
            calendar: of the time zone that the series follow.
            scaling: needed if a column is scaled, by series if one is scaled so; its numbers are found by
                name, and may be more, or in another order.
        """
        self._features, self._context = features, plan.window.context
        self.statics, self.calendar = statics, calendar
        roles = {column.role for column in features.columns}
        self._roles = bool(roles - {"any"}) or statics is not None
        self._hidden, self._hidden_ids = self._places(("past",))
        self._past, self._past_ids = self._places(("past", "target"))
        self._known, self._known_ids = self._places(("known",))
        self._target, self._target_ids = self._places(("target",))
        self._by = self._scaled_by(features.columns)
        self._scaled = bool(np.any(self._by != "none"))
        self._untouched = not (features.ids or self._roles or self._scaled or calendar)
        self.fallen: tuple[str | int | None, ...] = ()
        """Entities without a training row, which are scaled as the table as a whole is."""
        if self._scaled:
            if scaling is None:
                raise ValueError("scaled columns need their statistics; see fit_scaling, fit_series_scaling")
            self._level, self._spread = self._tables(scaling, plan)

    def __call__(self, batch: Batch) -> Batch:
        """The finished batch; its arrays are fresh or the given one's."""
        if self._untouched:
            return batch
        values, ids = self._features.split(batch.values)
        level = spread = None
        if self._scaled:
            level, spread = self._measure(values, batch.series)
            values = (values - level[:, None]) / spread[:, None]
        if self._hidden:
            values[:, self._context :, self._hidden] = np.nan
        if self._hidden_ids:
            ids[:, self._context :, self._hidden_ids] = 0
        changes: dict[str, Any] = {"values": values, "level": level, "spread": spread}
        changes["ids"] = ids if ids.shape[-1] else None
        if self._roles:
            changes |= {
                "past": _cells(values[:, : self._context], self._past),
                "past_ids": _cells(ids[:, : self._context], self._past_ids),
                "known": _cells(values, self._known),
                "known_ids": _cells(ids, self._known_ids),
                "target": _cells(values[:, self._context :], self._target),
                "target_ids": _cells(ids[:, self._context :], self._target_ids),
            }
        if self.statics is not None:
            changes["static"] = self.statics.values[batch.series]
            changes["static_ids"] = self.statics.ids[batch.series]
        if self.calendar is not None:
            changes["calendar"] = self.calendar.encode(batch.times)
        return batch.changed(**changes)

    @property
    def shared(self) -> dict[str, tuple[float, float]]:
        """Level and spread of every number that is scaled alike in all windows."""
        cells = np.flatnonzero(self._by == "global").tolist()
        return {
            self._features.cells[at]: (float(self._level[0, at]), float(self._spread[0, at])) for at in cells
        }

    def _places(self, roles: tuple[Role, ...]) -> tuple[list[int], list[int]]:
        """Numbers, flags included, and ids of the columns of these roles."""
        numbers: list[int] = []
        ids: list[int] = []
        for column in self._features.columns:
            if column.role in roles:
                places = self._features.places(column.name)
                (ids if column.is_id else numbers).extend(places)
        return numbers, ids

    def _scaled_by(self, columns: Sequence[Column]) -> NDArray[np.str_]:
        by = np.full(len(self._features.cells), "none", "U6")
        for column in columns:
            if not column.is_id:
                by[self._features.slices[column.name]] = column.scaling
        return by

    def _tables(self, scaling: Scaling | SeriesScaling, plan: Plan) -> tuple[Array, Array]:
        """Level and spread [series or 1, F]; 0 and 1 where nothing is scaled, and of what does not vary."""
        by_series = isinstance(scaling, SeriesScaling)
        whole = scaling.whole if isinstance(scaling, SeriesScaling) else scaling
        if not by_series and bool(np.any(self._by == "series")):
            raise ValueError("columns scaled by series need the statistics of fit_series_scaling")
        place = {cell: number for number, cell in enumerate(whole.columns)}
        at = np.array([place.get(cell, -1) for cell in self._features.cells], np.int64)
        scaled = self._by != "none"
        if lacking := [self._features.cells[cell] for cell in np.flatnonzero(scaled & (at < 0))]:
            raise ValueError(f"there are no statistics of {', '.join(lacking)}; see fit_scaling")
        level = np.zeros((len(plan.series) if by_series else 1, len(self._by)))
        spread = np.ones_like(level)
        level[:, scaled] = np.array(whole.mean)[at[scaled]]
        spread[:, scaled] = np.array(whole.std)[at[scaled]]
        if isinstance(scaling, SeriesScaling):
            mean, std, self.fallen = scaling.of(plan.series)
            own = self._by == "series"
            level[:, own], spread[:, own] = mean[:, at[own]], std[:, at[own]]
        spread[spread == 0] = 1
        return level.astype(np.float32), spread.astype(np.float32)

    def _measure(self, values: Array, series: NDArray[np.int64]) -> tuple[Array, Array]:
        """Level and spread [b, F] of windows; of the context alone where they are scaled by window."""
        rows = series if len(self._level) > 1 else np.zeros_like(series)
        level, spread = self._level[rows], self._spread[rows]
        own = np.flatnonzero(self._by == "window")
        if len(own):
            context = values[:, : self._context, own].astype(np.float64)
            known = ~np.isnan(context)
            count = known.sum(axis=1)
            mean = np.where(known, context, 0).sum(axis=1) / np.maximum(count, 1)
            squares = np.where(known, np.square(context - mean[:, None]), 0).sum(axis=1)
            std = np.sqrt(squares / np.maximum(count, 1))
            level[:, own] = np.where(count > 0, mean, level[:, own])
            spread[:, own] = np.where(std > 0, std, spread[:, own])
        return level, spread


def _cells(rows: NDArray[Any], places: list[int]) -> NDArray[Any]:
    """Some cells of each row, contiguous: an index that is a list would put cells outermost in memory."""
    return np.take(rows, np.array(places, np.intp), axis=-1)
