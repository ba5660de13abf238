"""What a report says, as plain values: bounded, whatever the size of the table."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

Time = float | int
"""Milliseconds since 1970 UTC, or the table's own ordinals."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that could not be had."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure at the top of the page."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What ran, in words."""

    state: Literal["finished", "stopped early", "unfinished"]
    state_note: str
    verdict: str
    verdict_kind: Literal["good", "bad", "none"]
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitPoint:
    """One commit on the curves."""

    id: str
    step: int
    training_loss: float | None
    validation_loss: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Losses over steps."""

    steps: tuple[int, ...]
    """Of each progress report that events tell; empty where they are gone."""
    losses: tuple[float | None, ...]
    """Training loss since the report before; None: no number."""
    commits: tuple[CommitPoint, ...]
    chosen: str
    """Id of the commit that this report is about."""
    resumed_at: tuple[int, ...]
    """Steps at which a later attempt went on."""
    budget: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Where rank 0's seconds went, between one progress report and the next."""

    steps: tuple[int, ...]
    computing_s: tuple[float, ...]
    waiting_s: tuple[float, ...]
    validating_s: tuple[float, ...]
    saving_s: tuple[float, ...]
    windows_per_s: tuple[float | None, ...]
    resumed_at: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitBytes:
    """What one commit added."""

    id: str
    step: int
    created: str
    training_loss: float | None
    validation_loss: float | None
    raw_bytes: int
    stored_bytes: int
    tags: tuple[str, ...]
    damaged: bool
    reused_bytes: int | None
    """Raw bytes of chunks that an earlier commit had stored; None: its manifest was not looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KindBytes:
    """One kind of state (weights, optimiser, …) over all commits whose manifests were read."""

    kind: str
    tensors: int
    raw_bytes: int
    new_bytes: int
    """Raw bytes of chunks that no earlier commit had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoints:
    """What the run's commits take."""

    commits: tuple[CommitBytes, ...]
    """The newest ones, in order of steps."""
    total_commits: int
    raw_bytes: int
    stored_bytes: int
    kinds: tuple[KindBytes, ...]
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column that the model reads."""

    name: str
    role: str
    missing: float | None
    """Share of rows without a value; None: not measured."""
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How much of the target is missing, over time, and by series where they are few."""

    times: tuple[Time, ...]
    """Beginning of each stretch of time."""
    missing: tuple[float | None, ...]
    """Over all series; None: no row in that stretch."""
    series: tuple[str, ...]
    by_series: tuple[tuple[float | None, ...], ...]
    """[series][stretch]"""
    shown_of: int
    ordinal: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """What the table is like."""

    facts: tuple[Fact, ...]
    columns: tuple[Column, ...]
    coverage: Coverage | Missing
    segment_rows: tuple[int, ...]
    """Edges of a histogram of segments by their rows."""
    segment_counts: tuple[int, ...]
    flags: tuple[str, ...]
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One forecast's figures over all test windows."""

    key: str
    name: str
    mae: float | None
    pinball: float | None
    coverage: float | None
    by_step: tuple[float | None, ...]
    mase: float | None = None
    """Mean over series of the error ÷ that of repeating the season before in training; 1 is as good."""
    smape: float | None = None
    """Percent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesScore:
    """One series: the errors of each forecast, in the order of `Scores.forecasts`."""

    name: str
    maes: tuple[float | None, ...]
    coverage: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """The model beside the baselines on the test windows."""

    target: str
    windows: int
    forecasts: tuple[Score, ...]
    """The model first."""
    best_baseline: str
    """Key of it."""
    nominal: float
    levels: tuple[float, ...]
    below: tuple[float | None, ...]
    coverage_by_step: tuple[float | None, ...]
    series: tuple[SeriesScore, ...]
    series_total: int
    series_note: str
    ratios: tuple[float, ...]
    """Edges of a histogram of series by the model's error ÷ the best baseline's."""
    ratio_counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One forecast window: H times of its horizon, and quantiles [Q][H]."""

    times: tuple[Time, ...]
    quantiles: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesForecast:
    """Some windows of one series."""

    name: str
    why: str
    """Why it is shown: `best`, `median`, `worst`, `first`."""
    mae: float | None
    times: tuple[Time, ...]
    actual: tuple[float | None, ...]
    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecasts:
    """Forecast against actual."""

    target: str
    levels: tuple[float, ...]
    ordinal: bool
    series: tuple[SeriesForecast, ...]
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """Where it all comes from."""

    pairs: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    config: str
    """YAML."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything on the page."""

    run: str
    made: str
    about: About
    curves: Curves
    timing: Timing | Missing
    forecasts: Forecasts | Missing
    scores: Scores | Missing
    quality: Quality
    checkpoints: Checkpoints
    lineage: Lineage
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values without NaN and infinity, which JSON does not know."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def number(value: float | None) -> float | None:
    """`value`, or None where it is no finite number."""
    return None if value is None or not isfinite(value) else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return number(value) if isinstance(value, float) else value
