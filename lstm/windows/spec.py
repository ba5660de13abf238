"""What a user says about windows: their lengths, their splits by time, their order."""

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
HELD_OUT: tuple[Split, ...] = ("validation", "test")
"""Splits for which entities can be held out."""

_MOST = 1 << 48
"""Rows, or what is counted in place of them: sums and products of a few of these fit 64 bits."""


def _whole(name: str, value: object, unit: str, least: int, most: int = _MOST) -> int:
    """A whole number, as Python's own.

    Raises:
        ValueError: it is none, or not from `least` to `most`.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # that is asked
    except TypeError:
        raise ValueError(
            f"{name} must be a whole number{' of rows' if unit else ''}, got {value!r}"
        ) from None
    if number < least:
        raise ValueError(f"{name} must be >= {least}{unit}, got {number}")
    if number > most:
        raise ValueError(f"{name} must be <= {most:,}, got {number:,}")
    return number


def _is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def _named(value: Any) -> Any:
    """The text that stands for an integer in names of entities and in times; all else as it is."""
    return str(operator.index(value)) if isinstance(value, int | np.integer) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowSpec:
    """How one series is cut into windows. All lengths are in rows."""

    context: int
    """Rows the model sees (168 = one week of hours)."""
    horizon: int
    """Rows the model predicts."""
    stride: int = 1
    """Rows between the starts of consecutive windows."""

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "stride"):
            object.__setattr__(self, name, _whole(f"WindowSpec.{name}", getattr(self, name), " row", 1))

    @property
    def length(self) -> int:
        """Rows of one window: context + horizon."""
        return self.context + self.horizon


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSpec:
    """How the table's span of time is divided: training first, then validation, then test; or its entities.

    A window belongs to the split that holds its whole horizon. Its context may reach back into earlier
    splits; a horizon that straddles a boundary belongs to no split.

    Boundaries are shares of the span of time, or times: those are ISO 8601 (UTC where no zone is named; a
    `datetime` is written so), or ordinals where the table's times are.
    """

    validation: float = 0.15
    """Share of the span of time, before the test split; a training needs one."""
    test: float = 0.15
    """Share of the span of time, at its end; 0: no test split."""
    embargo_rows: int = 0
    """Sampling intervals left out before each boundary, so that neighbours across it are less alike."""
    validation_from: str | None = None
    """Time at which validation begins; given, the shares are not read, and training ends here."""
    test_from: str | None = None
    """Time at which the test split begins; null beside `validation_from`: there is none."""
    test_before: str | None = None
    """Time at which the test split ends; null: with the table."""
    validation_entities: float = 0.0
    """Share of the entities that are held out for validation, at all times; the others are split by time."""
    test_entities: float = 0.0
    """Share of the entities that are held out for the test, at all times."""
    validation_names: tuple[str, ...] = ()
    """Entities that are held out for validation by name, beside the share."""
    test_names: tuple[str, ...] = ()
    """Entities that are held out for the test by name."""
    entity_seed: int = 0
    """Which entities a share takes; one that is held out stays so as the table grows."""

    def __post_init__(self) -> None:
        for name in ("validation_names", "test_names"):
            names = getattr(self, name)
            if isinstance(names, str):
                raise ValueError(
                    f"SplitSpec.{name} must be a list of entities, got {names!r}: write [{names!r}]"
                )
            # a list, after a trip through JSON; entities that are integers are named by their digits
            object.__setattr__(self, name, tuple(map(_named, names)))
        for name in ("validation_from", "test_from", "test_before"):
            if isinstance(value := getattr(self, name), datetime):
                object.__setattr__(self, name, value.isoformat())
            elif value is not None:
                object.__setattr__(self, name, _named(value))
        for name in ("validation_entities", "test_entities", "validation", "test"):
            if not (_is_number(value := getattr(self, name)) and 0 <= value < 1):
                raise ValueError(f"SplitSpec.{name} must be a share in [0, 1), got {value!r}")
        if self.validation_entities + self.test_entities >= 1:
            raise ValueError(
                "SplitSpec.validation_entities + SplitSpec.test_entities must leave a share for training, "
                f"got {self.validation_entities} + {self.test_entities}"
            )
        if twice := sorted(set(self.validation_names) & set(self.test_names)):
            raise ValueError(f"SplitSpec holds {twice[0]!r} out for two splits; name it once")
        if self.validation + self.test >= 1:
            raise ValueError(
                f"SplitSpec.validation + SplitSpec.test must leave a share for training, "
                f"got {self.validation} + {self.test}"
            )
        embargo = _whole("SplitSpec.embargo_rows", self.embargo_rows, "", 0)
        object.__setattr__(self, "embargo_rows", embargo)
        for name, needed in (("test_from", "validation_from"), ("test_before", "test_from")):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(f"SplitSpec.{name} needs SplitSpec.{needed}; give both, or shares alone")

    @property
    def wanted(self) -> tuple[Split, ...]:
        """The splits that must hold a window."""
        dated = self.validation_from is not None
        validation = dated or self.validation > 0 or self.holds_out("validation")
        test = (self.test_from is not None if dated else self.test > 0) or self.holds_out("test")
        return ("train", *(("validation",) if validation else ()), *(("test",) if test else ()))

    def holds_out(self, split: Split) -> bool:
        """Whether entities are held out for a split."""
        return split in HELD_OUT and bool(
            getattr(self, f"{split}_entities") or getattr(self, f"{split}_names")
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what is not given: plans from before it was known keep their ids."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        if not any(map(self.holds_out, HELD_OUT)):
            for name in _ENTITIES:
                del values[name]
        return values


_ENTITIES = ("validation_entities", "test_entities", "validation_names", "test_names", "entity_seed")


_MOST_OFTEN = 1000
_MOST_LANES = 1 << 16
"""An epoch is laid out lane by lane, and each takes memory of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderSpec:
    """How an epoch is shuffled, and what becomes of its last batch."""

    lanes: int = 48
    """Sub-streams of an epoch, the same at any number of ranks; at least the number of ranks."""
    pool: int = 6
    """Successive superblocks of a lane whose windows are shuffled together; memory grows with it."""
    last: Literal["short", "drop", "wrap"] = "short"
    """The last, short batch of an epoch: trained on, dropped, or filled with the epoch's first windows."""
    superblock_rows: int | None = None
    """Most rows of a superblock; null: those of a row group. With it, row groups are read in parts."""
    temperature: float = 1.0
    """Above 1 series with few training windows come more often than by their number, and those with many
    less: series of n windows in proportion to n^(1/temperature). 1: every window once."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """By entity: how often its training windows come in an epoch, on average, beside what the temperature
    says; entities that are not named: once."""

    def __post_init__(self) -> None:
        for name, most in (("lanes", _MOST_LANES), ("pool", _MOST), ("superblock_rows", _MOST)):
            value = getattr(self, name)
            if value is not None or name != "superblock_rows":
                object.__setattr__(self, name, _whole(f"OrderSpec.{name}", value, "", 1, most))
        if not (_is_number(self.temperature) and self.temperature > 0):
            raise ValueError(f"OrderSpec.temperature must be > 0, got {self.temperature!r}")
        if not isinstance(self.weights, Mapping):
            raise ValueError(
                f"OrderSpec.weights must be a mapping of entities to weights, got {self.weights!r}"
            )
        object.__setattr__(self, "weights", {_named(name): it for name, it in self.weights.items()})
        for name, weight in self.weights.items():
            if not (_is_number(weight) and 0 <= weight <= _MOST_OFTEN):
                raise ValueError(
                    f"OrderSpec.weights must be from 0 to {_MOST_OFTEN:,}, got {weight!r} for {name!r}"
                )
        if self.last not in ("short", "drop", "wrap"):
            raise ValueError(f"OrderSpec.last must be short, drop or wrap, got {self.last!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what is not given: plans from before it was known keep their ids."""
        values = asdict(self)
        usual: dict[str, Any] = {"superblock_rows": None, "temperature": 1.0, "weights": {}}
        return {name: value for name, value in values.items() if name not in usual or value != usual[name]}
