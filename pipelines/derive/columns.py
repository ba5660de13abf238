"""Which column is forecast, and which others the model sees: those that are numbers and say something."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.types as types
from numpy.typing import NDArray

from pipelines.derive.keys import FoundKeys
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive, Request
from pipelines.derive.sample import Sample
from pipelines.derive.words import listed, near, share
from storage.tables import Snapshot

_TARGETS = ("target", "y", "value")
_MOST_PAST = 32
"""More columns cost time in every step, and seldom tell more."""
_MANY_NULLS = 0.5


def numeric_columns(schema: pa.Schema, keys: FoundKeys) -> list[str]:
    """Columns that can be features, in the table's order."""
    return [it.name for it in schema if it.name not in (keys.time, keys.entity) and _is_number(it.type)]


@dataclass(frozen=True, slots=True)
class Likely:
    """A column that may be the target, and why it."""

    name: str
    reason: str


def likely_targets(schema: pa.Schema, keys: FoundKeys, wish: Request) -> list[Likely]:
    """The column that was told; else all that can be forecast, the likeliest first.

    Raises:
        CannotDerive: there is none, or the one that was told cannot serve.
    """
    numbers = numeric_columns(schema, keys)
    if wish.target is not None:
        _check_feature(schema, wish.target, "--target", numbers)
        return [Likely(wish.target, "as told (--target)")]
    if not numbers:
        raise CannotDerive(
            f"no column holds numbers to forecast: beside {listed(keys.index.keys.columns)} the table has "
            f"{listed(name for name in schema.names if name not in keys.index.keys.columns)}; "
            "ingest numbers as numbers (a stray word turns a whole CSV column into text)"
        )
    if len(numbers) == 1:
        return [Likely(numbers[0], "the only column of numbers")]
    named = [it for name in _TARGETS for it in numbers if it.lower() == name]
    found = [Likely(it, "named like a target; --target chooses another") for it in named]
    # Measurements have fractions; counts may be forecast too; what is true or false seldom is.
    kinds = {
        "with fractions": lambda it: types.is_floating(it) or types.is_decimal(it),
        "of whole numbers": types.is_integer,
        "of true and false": types.is_boolean,
    }
    for what, of_kind in kinds.items():
        alike = [name for name in numbers if of_kind(schema.field(name).type)]
        which = f"the last of {len(alike)} columns" if len(alike) > 1 else "the only column"
        reason = f"{which} {what}; --target chooses another"
        found += [Likely(it, reason) for it in reversed(alike) if it not in named]
    return found


def choose_target(likely: Sequence[Likely], sample: Sample, reasons: Reasons) -> str:
    """The likeliest column that is known somewhere and is not the same everywhere; else the likeliest."""
    passed: dict[str, list[str]] = {}
    for it in likely:
        if (dull := _dull(sample.of(it.name))) is None:
            for fault, names in passed.items():
                reasons.remark(f"no target: {listed(names)} ({fault})")
            other = "the likeliest column that has something to tell; --target chooses another"
            reasons.add("forecast.target", other if passed else it.reason)
            return it.name
        passed.setdefault(dull, []).append(it.name)
    reasons.add("forecast.target", likely[0].reason)
    return likely[0].name


def check_target(sample: Sample, target: str, snapshot: Snapshot) -> None:
    """Refuse a target that is nowhere known, nowhere finite, or everywhere the same."""
    values = sample.of(target)
    known = values[~np.isnan(values)]
    looked = f"the {len(sample):,} rows looked at (of {sample.table_rows:,})"
    if not len(known):
        raise CannotDerive(
            f"the target {target!r} is null in all of {looked}; choose another one with --target"
        )
    endless = int(np.isinf(known).sum())
    if endless or _bounds_are_infinite(snapshot, target):
        raise CannotDerive(
            f"the target {target!r} holds infinities ({endless} in {looked}); no scale can be found for "
            "them: make them null where the rows are written, and ingest again"
        )
    if known.min() == known.max():
        raise CannotDerive(
            f"the target {target!r} is {known[0]:g} in all of {looked}; there is nothing to learn, forecast "
            "that number, or choose another column with --target"
        )


def choose_past(
    schema: pa.Schema, keys: FoundKeys, target: str, sample: Sample, snapshot: Snapshot, wish: Request,
    reasons: Reasons,
) -> tuple[str, ...]:  # fmt: skip
    """The further columns, without those that say nothing; says which those are."""
    if wish.past is not None:
        for name in wish.past:
            _check_feature(schema, name, "--past", numeric_columns(schema, keys))
            if name == target:
                raise CannotDerive(
                    f"--past {name}: it is the target, whose past the model sees anyway; leave it out"
                )
        reasons.add("forecast.past", "as told (--past)")
        return wish.past
    kept: list[str] = []
    left: dict[str, list[str]] = {}
    for name in numeric_columns(schema, keys):
        if name == target:
            continue
        if fault := _fault(name, kept, target, sample, snapshot):
            left.setdefault(fault, []).append(name)
        else:
            kept.append(name)
    if len(kept) > _MOST_PAST:
        strongest = sorted(kept, key=lambda name: -_kinship(sample.of(name), sample.of(target)))[:_MOST_PAST]
        left[f"beyond the {_MOST_PAST} that go most with the target"] = [
            it for it in kept if it not in strongest
        ]
        kept = [name for name in kept if name in strongest]
    for fault, names in left.items():
        reasons.remark(f"left out of forecast.past: {listed(names)} ({fault})")
    for name in (target, *kept):
        unknown = int(np.isnan(sample.of(name)).sum())
        if unknown > _MANY_NULLS * len(sample):
            reasons.remark(
                f"{name!r} is null in {share(unknown, len(sample))} of the rows looked at; it is kept"
            )
    other = "no other column holds numbers that say something"
    reasons.add("forecast.past", f"the other columns of numbers, {len(kept)} of them" if kept else other)
    return tuple(kept)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    )


def _check_feature(schema: pa.Schema, name: str, option: str, numbers: Sequence[str]) -> None:
    if name not in schema.names:
        raise CannotDerive(
            f"{option} {name}: the table has no such column; {near(name, schema.names)}it has numbers in "
            f"{listed(numbers)}"
        )
    if name not in numbers:
        kind = schema.field(name).type
        what = f"is {kind}, not numbers" if not _is_number(kind) else "is a key of the table"
        raise CannotDerive(
            f"{option} {name}: this column {what}; choose one of {listed(numbers)}, or ingest it as "
            "numbers (a stray word turns a whole CSV column into text)"
        )


def _fault(name: str, kept: Sequence[str], target: str, sample: Sample, snapshot: Snapshot) -> str | None:
    """Why a column tells a model nothing; None: it may."""
    values = sample.of(name)
    if np.isinf(values).any() or _bounds_are_infinite(snapshot, name):
        return "holds infinities; make them null to use it"
    if dull := _dull(values):
        return dull
    for other in (target, *kept):
        if np.array_equal(values, sample.of(other), equal_nan=True):
            return f"the same as {other!r}"
    return "only counts rows" if _counts(values, sample) else None


def _dull(values: NDArray[np.float32]) -> str | None:
    """Why a column has nothing to tell; None: it has."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "null wherever it was looked at"
    return f"always {known[0]:g}" if known.min() == known.max() else None


def _counts(values: NDArray[np.float32], sample: Sample) -> bool:
    """Whether a column goes up by one with every row of a series: what comes lies beyond all that was."""
    inside = np.diff(sample.run) == 0
    return bool(inside.any() and np.all(np.diff(values.astype(np.float64))[inside] == 1))


def _kinship(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Absolute correlation of two columns over rows where both are known."""
    both = ~(np.isnan(one) | np.isnan(other))
    if both.sum() < 3:
        return 0.0
    a, b = one[both].astype(np.float64), other[both].astype(np.float64)
    spread = float(a.std() * b.std())
    return abs(float(((a - a.mean()) * (b - b.mean())).mean())) / spread if spread else 0.0


def _bounds_are_infinite(snapshot: Snapshot, name: str) -> bool:
    """Whether the files' own statistics tell of an infinity; they may be absent."""
    bounds = [file.statistics.get(name) for file in snapshot.files]
    ends = [end for it in bounds if it is not None for end in (it.min, it.max) if isinstance(end, float)]
    return bool(np.isinf(ends).any()) if ends else False
