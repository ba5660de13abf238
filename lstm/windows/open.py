"""From a table's address to a stream of its windows, in one call: for whoever uses this part alone."""

import operator
import warnings
from collections.abc import Sequence
from datetime import timedelta
from os import PathLike, fspath
from pathlib import Path
from typing import Required, TypedDict, Unpack

import pyarrow as pa

from lstm.windows.errors import WindowError
from lstm.windows.features.calendar import Calendar
from lstm.windows.features.features import Features
from lstm.windows.features.finish import Finish
from lstm.windows.features.learned import Learned, learn
from lstm.windows.features.static import find_statics
from lstm.windows.index.grid import gridded
from lstm.windows.index.index import index_snapshot
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.planning import make_plan
from lstm.windows.read.read import WindowReader
from lstm.windows.read.sizing import fitted, sorted_again
from lstm.windows.spec import OrderSpec, Split, SplitSpec, WindowSpec
from lstm.windows.stream import WindowStream
from lstm.windows.table.column import Column, as_columns
from lstm.windows.table.column_types import check_columns
from lstm.windows.table.columns import is_number
from lstm.windows.table.keys import keys_for
from lstm.windows.table.recordings import Fetch, fetch_from
from lstm.windows.table.sequences import Sequences
from lstm.windows.table.unnested import UnnestedSnapshot
from lstm.windows.table_windows import TableWindows
from storage.disk_cache import DiskCache
from storage.objects import Access, Bucket
from storage.tables import ENTITY_PROPERTY, TIME_PROPERTY, Lake, Table, open_table
from storage.tables.local import is_path, open_local

_BY_SEQUENCE = SplitSpec(validation=0, test=0, validation_entities=0.15, test_entities=0.15)
"""Positions in sequences are no dates: what is held out is held out whole."""


def open_windows(
    table: str | PathLike[str],
    *,
    context: int,
    horizon: int,
    stride: int = 1,
    columns: Sequence[str | Column] | None = None,
    time: str | None = None,
    entity: str | None = None,
    max_gap: timedelta | int | None = None,
    grid: timedelta | int | None = None,
    splits: SplitSpec | None = None,
    order: OrderSpec | None = None,
    snapshot: str | int | None = None,
    memory_mib: int = 512,
    lake: Lake | None = None,
    cache: Bucket | None = None,
    calendar: str | Calendar | None = None,
    learned: Learned | None = None,
    disk: DiskCache | None = None,
    sequences: Sequences | None = None,
) -> TableWindows:
    """Pin a snapshot, find its series, plan its windows, and make ready to read them.

    Args:
        table: `s3://bucket/key`, an Iceberg catalog's `namespace.name`, or a local folder.
        context: rows that a model sees.
        horizon: rows that it predicts.
        stride: rows between the starts of consecutive windows.
        columns: the features, in the order in which batches hold them: names, or a `Column` each to say more;
            None: every number but the keys.
        time: column that orders a series; None: the one that the table names itself (`carousel.time`).
        entity: column that tells series apart; None: the one that the table names itself, else it is one
            series; an empty text: it is one series.
        max_gap: time between two rows above which a series is cut (an integer where times are); None: never.
        grid: time between two rows of a series, of which the table may lack some (an integer where times
            are): up to gaps of `max_gap` these are read as rows without values, flagged by the column
            `observed`, which is a feature if you name it, or no `columns`. None: no rows are added.
        splits: how time is divided; None: the last 15% to test, the 15% before them to validation.
        order: how an epoch is shuffled; None: as `OrderSpec` says. Where `memory_mib` cannot hold it, smaller
            superblocks are taken, else smaller pools and fewer lanes: see `TableWindows.plan.order`.
        snapshot: id of the version to pin; None: the newest.
        memory_mib: what this process may hold of the table's rows, MiB.
        lake: server and catalog; None: the server that this machine's AWS settings name, and no catalog.
        cache: bucket that keeps the indexes of files, so that each file is scanned once ever; None: nowhere.
        calendar: time zone (`UTC`, `America/New_York`) by whose clock each row is placed in its day and week
            (`Batch.calendar`), or a `Calendar(…, year=True)` to have it placed in its year, too; None:
            batches have no calendar.
        learned: vocabularies and statistics, where they were learned before; None: this table's training rows
            are read once for them, if the columns need any.
        disk: keeps the table's bytes on this host, so that later epochs fetch nothing; ranks may share it.
        sequences: the column whose cells hold a whole sequence each, where the table has a row per sequence
            (documents, recordings): its elements are taken for rows, numbered in place of a time. `entity`
            then names the sequences; `columns` are by default the elements alone; `splits` hold out 15% + 15%
            of the sequences.

    Warns where rows are out of order and `memory_mib` makes it sort them again and again.

    Raises:
        UserError: the table, its columns or its rows cannot serve; the message says what would.
    """
    _check_kinds(splits=(splits, SplitSpec), order=(order, OrderSpec), sequences=(sequences, Sequences))
    budget_bytes = _mebibytes(memory_mib)
    window = WindowSpec(context=context, horizon=horizon, stride=stride)
    local, lake = isinstance(table, PathLike) or is_path(table), lake or Lake(access=Access())
    opened = open_local(fspath(table)) if local else open_table(lake, str(table))
    pinned = opened.snapshot(None if snapshot is None else str(snapshot))
    if sequences is not None:
        if time is not None or not entity:
            raise WindowError(
                f"with sequences={sequences.column!r}, entity= must name the column that tells them apart, "
                "and time= be left out: elements are numbered"
            )
        columns = columns or [sequences.feature(pinned.schema)]
        time, splits = sequences.position, splits or _BY_SEQUENCE
        pinned = UnnestedSnapshot(pinned, sequences, entity, _fetch(opened, lake.access, local))
    time, entity = _keys(opened, pinned.schema, time, entity)
    # a wrong column is told before the features are chosen
    keys = keys_for(pinned.schema, entity, time, max_gap, grid)
    schema = pinned.schema if grid is None else gridded(pinned.schema, keys)
    chosen = as_columns(_features(schema, columns, (time, entity)))
    check_columns(schema, chosen)
    index = index_snapshot(
        pinned, entity=entity, time=time, max_gap=max_gap, grid=grid, columns=chosen, cache=cache
    )
    plan = make_plan(
        index,
        window,
        splits or SplitSpec(),
        order or OrderSpec(),
    )
    if learned is None:
        learned = learn(pinned, plan, chosen)
    learned.check(chosen)
    features = Features(schema, chosen, learned.vocabularies)
    asked, plan = plan, fitted(plan, pinned, features, budget_bytes=budget_bytes)
    if note := sorted_again(asked, plan, features.row_bytes, budget_bytes):
        warnings.warn(note, stacklevel=2)
    reader = WindowReader(pinned, plan, chosen, budget_bytes, learned.vocabularies, disk=disk)
    static = [column for column in chosen if column.role == "static"]
    finish = Finish(
        reader.features,
        plan,
        statics=find_statics(pinned, plan, static, learned.vocabularies) if static else None,
        calendar=_calendar(calendar, plan),
        scaling=learned.scaling,
    )
    return TableWindows(pinned, plan, reader, learned, finish)


class Asked(TypedDict, total=False):
    """What `open_windows` may be asked beside the table, for whoever passes it on; see there."""

    context: Required[int]
    horizon: Required[int]
    stride: int
    columns: Sequence[str | Column] | None
    time: str | None
    entity: str | None
    max_gap: timedelta | int | None
    grid: timedelta | int | None
    splits: SplitSpec | None
    order: OrderSpec | None
    snapshot: str | int | None
    memory_mib: int
    lake: Lake | None
    cache: Bucket | None
    calendar: str | Calendar | None
    learned: Learned | None
    disk: DiskCache | None
    sequences: Sequences | None


def open_stream(
    table: str | PathLike[str],
    *,
    split: Split = "train",
    batch_size: int = 256,
    seed: int = 0,
    rank: int = 0,
    ranks: int = 1,
    ordered: bool = False,
    prefetch: int = 2,
    **asked: Unpack[Asked],
) -> WindowStream:
    """`open_windows(table, …).stream(split, …)`: for whoever needs one split only.

    All that `open_windows` takes is taken here too. Raises as there.
    """
    return open_windows(table, **asked).stream(
        split,
        batch_size=batch_size,
        seed=seed,
        rank=rank,
        ranks=ranks,
        ordered=ordered,
        prefetch=prefetch,
    )


def _check_kinds(**options: tuple[object, type]) -> None:
    for name, (value, kind) in options.items():
        if value is not None and not isinstance(value, kind):
            raise WindowError(f"{name} must be a {kind.__name__}(…), got {value!r}")


def _mebibytes(memory_mib: int) -> int:
    """So many bytes."""
    try:
        size = operator.index(memory_mib) << 20
    except TypeError:
        size = 0
    if size <= 0:
        raise WindowError(f"memory_mib must be a whole number of MiB, at least 1, got {memory_mib!r}")
    return size


def _fetch(table: Table, access: Access, local: bool) -> Fetch:
    """Reads recordings that lie beside a table."""
    place = Path(table.uri)
    return fetch_from(access, (place if place.is_dir() else place.parent) if local else None)


def _calendar(timezone: str | Calendar | None, plan: Plan) -> Calendar | None:
    if timezone is None:
        return None
    if plan.keys.ordinal:
        raise WindowError(
            f"times of {plan.keys.time!r} are ordinals, which have no day and no week; leave calendar "
            "out, or give the table timestamps"
        )
    if isinstance(timezone, Calendar):
        return timezone
    try:
        return Calendar(timezone)
    except ValueError as error:
        raise WindowError(str(error)) from None


def _keys(table: Table, schema: pa.Schema, time: str | None, entity: str | None) -> tuple[str, str | None]:
    """The key columns: what the caller says, else what the table says of itself."""
    said = table.properties
    if time is None:
        time = said.get(TIME_PROPERTY)
        if entity is None:
            entity = said.get(ENTITY_PROPERTY)
    if time is None:
        raise WindowError(
            f"{table.uri} does not say which column orders its rows; name it: time=…, one of "
            f"{', '.join(schema.names)}"
        )
    return time, entity or None


def _features(
    schema: pa.Schema, columns: Sequence[str | Column] | None, keys: tuple[str | None, ...]
) -> tuple[str | Column, ...]:
    if columns is not None:
        if isinstance(columns, str) or not columns:
            raise WindowError(f"columns must be a list of at least one column's name, got {columns!r}")
        return tuple(columns)
    found = tuple(field.name for field in schema if is_number(field.type) and field.name not in keys)
    if not found:
        raise WindowError(f"no column of the table is a number; it has: {', '.join(schema.names)}")
    return found
