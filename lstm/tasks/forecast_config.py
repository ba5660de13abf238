"""What is forecast from what, and which windows and times allow it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from lstm.models import check_levels
from lstm.tasks.target_scale import SCALES, Scale
from lstm.windows.features.calendar import Calendar
from lstm.windows.plan.plan import Plan
from lstm.windows.spec import WindowSpec
from lstm.windows.table.column import NULL_POLICIES, Column, NullPolicy
from storage.errors import UserError

_EARLIEST_US, _LATEST_US = (
    int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for year in (2, 9999)
)
"""The calendar's years, less one at each end for time zones and horizons."""


class WrongForecast(UserError):
    """A forecast was asked for that the windows or the columns do not allow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastConfig:
    """What is forecast from what, and by how large a model."""

    target: str
    """Column to forecast; its past is an input too."""
    past: tuple[str, ...] = ()
    """Further columns of the context that the model sees; never those of the horizon."""
    nulls: Mapping[str, NullPolicy] = field(default_factory=dict)
    """What is done about missing values, by column ({rain: forward_fill}): mask (the default: the model is
    told that they are missing), forward_fill (it sees the last known value of the segment beside the mask;
    not for the target), drop_window (no window holds one), error (the table is refused)."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Levels of the forecast, rising, the median among them."""
    timezone: str = "UTC"
    """Time zone whose clock and week the series follow, such as America/New_York."""
    hidden: int = 64
    """Units of each LSTM layer and of the layers behind it."""
    layers: int = 2
    """LSTM layers on top of each other."""
    dropout: float = 0.2
    """Share of units that are dropped in training, between layers and before the head."""
    patch: int = 6
    """Rows that enter the LSTM as one step; must divide the context. 1: row by row, slower."""
    lag: int = 24
    """Rows of the target's daily cycle: the head sees the target whole multiples of it before each step."""
    season: int = 168
    """Rows of one season (168 = a week of hours); a baseline repeats the target of a season before."""
    scale: Scale = "linear"
    """Unit of the target: linear; window where series differ much in level, series where they also keep it
    (each by its own training rows; a new one by the whole table's); asinh where many values are 0."""
    linear: float = 0.25
    """For scale asinh: deviations of the target up to which it is about linear; logarithmic beyond."""
    shortcut: bool = True
    """Add a linear forecast from the context, so that the LSTM learns only what is beyond one."""

    def __post_init__(self) -> None:
        if not self.target:
            raise ValueError("ForecastConfig.target must name a column")
        columns = (self.target, *self.past)
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(
                f"ForecastConfig.target and .past must name each column once, got twice: {twice}"
            )
        for name, policy in self.nulls.items():
            if name not in columns or policy not in NULL_POLICIES:
                raise ValueError(
                    f"ForecastConfig.nulls must give columns of target and past one of "
                    f"{', '.join(NULL_POLICIES)}, got {name}: {policy}"
                )
        if self.nulls.get(self.target) == "forward_fill":
            raise ValueError(
                f"ForecastConfig.nulls must not fill the target {self.target!r}: the model would learn to "
                "forecast values that nobody measured; choose mask or drop_window"
            )
        check_levels(self.quantiles)
        Calendar(self.timezone)
        for name in ("hidden", "layers", "patch", "lag", "season"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"ForecastConfig.{name} must be >= 1, got {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"ForecastConfig.dropout must be in [0, 1), got {self.dropout}")
        if self.scale not in SCALES:
            raise ValueError(f"ForecastConfig.scale must be {', '.join(SCALES)}, got {self.scale!r}")
        if not self.linear > 0:
            raise ValueError(f"ForecastConfig.linear must be > 0, got {self.linear}")

    @property
    def features(self) -> tuple[Column, ...]:
        """What windows hold: the target first, each column with its null policy."""
        names = (self.target, *self.past)
        return tuple(Column(name=name, nulls=self.nulls.get(name, "mask")) for name in names)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `asdict`, also after a trip through JSON text, where tuples become lists.

        A config that was frozen before there was a choice of scale and shortcut means what it meant then.
        """
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**{"scale": "asinh", "shortcut": False, **fields})


def check_window(config: ForecastConfig, window: WindowSpec) -> None:
    """Raise WrongForecast unless windows of this shape can be forecast so; needs no data."""
    if window.context % config.patch:
        raise WrongForecast(
            f"a context of {window.context} rows cannot be cut into patches of {config.patch}; "
            "choose a patch that divides it (1 always does)"
        )


def check_times(plan: Plan) -> None:
    """Raise WrongForecast where the calendar cannot place the plan's rows; ordinals need none."""
    if plan.keys.ordinal:
        return
    ends = int(plan.pieces.first_time.min()), int(plan.pieces.last_time.max())
    for time in ends:
        if not _EARLIEST_US <= time < _LATEST_US:
            raise WrongForecast(
                f"column {plan.keys.time!r} holds {plan.keys.say(time)}, but times must lie in the years "
                "2 to 9998, which the calendar knows; correct or drop these rows"
            )
