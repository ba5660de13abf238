"""Which columns are time and entity: those that were told, the table's own word, or the only ones that fit.

Only the time is read, and for the entity the text and integer columns of a few row groups. What was found is
confirmed by the sequence index, which the training needs anyway and which the bucket keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.types as types

from lstm.windows import SequenceIndex, index_snapshot
from lstm.windows.errors import DuplicateRows, NullKey, UnsortedTable, WindowError, WrongColumnType
from lstm.windows.index.overlaps import check_overlaps
from lstm.windows.table.columns import entities_of, times_of
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive, Request
from pipelines.derive.words import listed, near
from storage.objects import Bucket
from storage.tables import ENTITY_PROPERTY, TIME_PROPERTY, Snapshot

_TIMES = ("time", "timestamp", "ts", "datetime", "date", "date_time", "ds", "event_time")
_ORDINALS = ("time", "t", "step", "ordinal", "ds", "timestamp", "tick")
_ENTITIES = (
    "id",
    "entity",
    "series",
    "unique_id",
    "item_id",
    "series_id",
    "name",
    "key",
    "sensor",
    "station",
)
_DOUBLED = 0.01
"""Share of rows that may have the time of another row of their series, where a column is meant as entity."""
_LEAST_ROWS = 4
"""Rows of a series on average, at least: else the column numbers rows, or measures something."""
_SAID = 6
_ONE_SERIES = "each time occurs once: one series"
_LOOKED_AT = 300_000
"""Rows of a row group that are enough to tell whether times repeat."""


@dataclass(frozen=True, slots=True)
class FoundKeys:
    """The key columns, and where their rows lie (a series is one segment, whatever its gaps)."""

    time: str
    entity: str | None
    index: SequenceIndex


def find_keys(
    snapshot: Snapshot, properties: Mapping[str, str], wish: Request, cache: Bucket | None, reasons: Reasons
) -> FoundKeys:
    """Choose time and entity.

    Raises:
        CannotDerive: no column, or more than one, could be meant; lists them.
        WindowError: the rows cannot be read in order of these keys.
    """
    time, why = _time(snapshot.schema, properties, wish.time)
    reasons.add("table.time", why)
    told = _told_entity(snapshot.schema, properties, wish.entity)
    if told is not None:
        entity, why = told
        index = _indexed(snapshot, entity, time, cache)
    else:
        entity, why, index = _search(snapshot, time, cache)
    reasons.add("table.entity", why)
    return FoundKeys(time, entity, index)


def _time(schema: pa.Schema, properties: Mapping[str, str], told: str | None) -> tuple[str, str]:
    if told is not None:
        return _there(schema, told, "--time"), "as told (--time)"
    if (named := properties.get(TIME_PROPERTY)) is not None and named in schema.names:
        return named, f"the table's own property {TIME_PROPERTY}"
    moments = [it.name for it in schema if types.is_timestamp(it.type) or types.is_date(it.type)]
    if len(moments) == 1:
        return moments[0], "the only column of timestamps or dates"
    if len(moments) > 1:
        likely = [name for name in moments if name.lower() in _TIMES]
        if len(likely) == 1:
            return likely[0], f"of {len(moments)} columns of timestamps or dates the one named like a time"
        raise CannotDerive(
            f"{len(moments)} columns hold timestamps or dates: {listed(moments)}; say which one orders the "
            "rows: --time COLUMN"
        )
    whole = [it.name for it in schema if types.is_integer(it.type)]
    likely = [name for name in whole if name.lower() in _ORDINALS]
    if len(likely) == 1:
        return likely[0], "no column of timestamps; an integer column named like a time: rows are counted"
    text = [it.name for it in schema if types.is_string(it.type) or types.is_large_string(it.type)]
    raise CannotDerive(
        "the table has no usable time column: no timestamps and no dates. "
        f"Text columns: {listed(text)}; whole numbers: {listed(whole)}. Ingest the files again with "
        "--time COLUMN, which reads text as times, or name whole numbers that count the rows of a series: "
        "--time COLUMN"
    )


def _told_entity(
    schema: pa.Schema, properties: Mapping[str, str], told: str | None
) -> tuple[str | None, str] | None:
    if told is not None:
        return (
            (_there(schema, told, "--entity"), "as told (--entity)")
            if told
            else (None, "as told: one series")
        )
    named = properties.get(ENTITY_PROPERTY)
    if named is not None and named in schema.names:
        return named, f"the table's own property {ENTITY_PROPERTY}"
    return None


def _there(schema: pa.Schema, name: str, option: str) -> str:
    if name not in schema.names:
        raise CannotDerive(
            f"{option} {name}: the table has no such column; {near(name, schema.names)}it has "
            f"{listed(schema.names)}"
        )
    return name


def _search(snapshot: Snapshot, time: str, cache: Bucket | None) -> tuple[str | None, str, SequenceIndex]:
    candidates = [it.name for it in snapshot.schema if it.name != time and _may_be_entity(it.type)]
    groups = _some_groups(snapshot, [*candidates, time])
    unsorted = False
    if not any(_repeats(None, group, time) for group in groups):
        try:
            return None, _ONE_SERIES, _indexed(snapshot, None, time, cache, sort=False)
        except DuplicateRows as error:  # in other row groups times repeat
            if not candidates:
                raise _no_candidate(error, snapshot.schema, time) from error
        except UnsortedTable:  # or rows are sorted by series, each of its own time
            unsorted = True
    elif not candidates:
        try:
            _indexed(snapshot, None, time, cache)
        except (DuplicateRows, UnsortedTable) as error:  # says which row has the time of which other
            raise _no_candidate(error, snapshot.schema, time) from error
    looked_at = sum(len(group) for group in groups)
    repeats = {name: sum(_repeats(name, group, time) for group in groups) for name in candidates}
    ranks = {name: _rank(name, groups) for name in candidates}
    unfit: dict[str, str] = {}
    for name in sorted(candidates, key=lambda name: (repeats[name] > 0, *ranks[name])):
        values = ranks[name][-1]
        if nulls := sum(group.column(name).null_count for group in groups):
            unfit[name] = f"has {nulls:,} nulls"
            continue
        if repeats[name] > _DOUBLED * looked_at:
            unfit[name] = f"leaves {repeats[name]:,} times that repeat"
            continue
        if values * _LEAST_ROWS > looked_at:
            unfit[name] = f"has {values:,} values"
            continue
        try:
            index = _indexed(snapshot, name, time, cache)
        except DuplicateRows:
            if repeats[name]:
                raise  # all but a few rows have a time of their own: these few are the fault
            unfit[name] = "leaves times that repeat"  # not in the rows that were looked at, but elsewhere
            continue
        except NullKey:
            unfit[name] = "has nulls"
            continue
        except WrongColumnType as error:
            unfit[name] = str(error)
            continue
        return name, f"{name!r} and {time!r} together name each row: {len(index.series):,} series", index
    if unsorted:
        return None, _ONE_SERIES, _indexed(snapshot, None, time, cache)
    raise CannotDerive(
        f"times of {time!r} repeat, and no column tells the series apart, such that each has a time once; "
        f"of {looked_at:,} rows looked at, {_said(unfit)}{_other_types(snapshot.schema, time)}. Name one "
        "with --entity COLUMN; if it takes several columns, ingest the rows with one that joins them; if "
        "rows are doubled, keep one per series and time"
    )


def _no_candidate(error: WindowError, schema: pa.Schema, time: str) -> CannotDerive:
    return CannotDerive(
        f"{error}. If the rows are of several series: no column tells them apart{_other_types(schema, time)}"
    )


def _other_types(schema: pa.Schema, time: str) -> str:
    """The columns that can be no entity, those named like one first."""
    others = [it for it in schema if it.name != time and not _may_be_entity(it.type)]
    others.sort(key=lambda it: not _is_usual(it.name))
    kinds = _said({it.name: f"is {it.type}" for it in others})
    return f"; an entity must be text or whole numbers, and {kinds}" if others else ""


def _said(faults: Mapping[str, str]) -> str:
    """What is wrong with each column; of many only the first."""
    shown = [f"{name!r} {fault}" for name, fault in faults.items()][:_SAID]
    more = len(faults) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _may_be_entity(kind: pa.DataType) -> bool:
    value = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_integer(value) or types.is_string(value) or types.is_large_string(value))


def _some_groups(snapshot: Snapshot, columns: Sequence[str]) -> list[pa.Table]:
    """The keys in question of the first, the middle and the last file's first row group with rows."""
    files = [file for file in snapshot.files if file.rows]
    if not files:
        raise CannotDerive(f"{snapshot.table} has no rows at snapshot {snapshot.id}; ingest some first")
    tables = []
    for place in sorted({0, len(files) // 2, len(files) - 1}):
        held = [number for number, rows in enumerate(snapshot.row_groups(files[place])) if rows]
        tables.append(snapshot.read(files[place], held[0], columns).slice(0, _LOOKED_AT))
    return tables


def _repeats(entity: str | None, rows: pa.Table, time: str) -> int:
    """Rows whose (entity, time) stands in another row too; all, where the entity cannot serve."""
    if rows.column(time).null_count:
        return 0  # the index says so, and where
    times = times_of(rows.column(time), time)
    code = np.zeros(len(times), np.int64)
    if entity is not None:
        if rows.column(entity).null_count:
            return len(times)
        try:
            code, _ = entities_of(rows.column(entity), entity)
        except WrongColumnType:
            return len(times)
    order = np.lexsort((times, code))
    return int(np.sum((np.diff(code[order]) == 0) & (np.diff(times[order]) == 0)))


def _rank(name: str, groups: Sequence[pa.Table]) -> tuple[bool, bool, bool, int]:
    """Likelier entities first: rows stand in one run per value, a usual name, text, few values."""
    scattered, values = False, 0
    for rows in groups:
        entity = rows.column(name).combine_chunks().dictionary_encode()
        count = len(entity.dictionary) + (entity.null_count > 0)
        code = entity.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        scattered |= int(np.sum(np.diff(code) != 0)) + 1 > count
        values += count
    return scattered, not _is_usual(name), types.is_integer(groups[0].schema.field(name).type), values


def _is_usual(name: str) -> bool:
    return any(name.lower() == word or name.lower().endswith(f"_{word}") for word in _ENTITIES)


def _indexed(
    snapshot: Snapshot, entity: str | None, time: str, cache: Bucket | None, *, sort: bool = True
) -> SequenceIndex:
    index = index_snapshot(snapshot, entity=entity, time=time, cache=cache, sort=sort)
    check_overlaps(index)
    return index
