"""Rows of a file as the table shall hold them: text becomes numbers and moments, missing stays missing."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources import values
from pipelines.sources.clock import Clock
from pipelines.sources.decide import Decided
from pipelines.sources.facts import FileFacts, Rows
from pipelines.sources.reading import Reading
from storage.errors import UserError


def rows_of(
    file: FileFacts, decided: Decided, reading: Reading, columns: Sequence[str], notes: list[str]
) -> Iterator[pa.Table]:
    """Columns of a file in file order, each of its decided type.

    Args:
        file: where they are.
        decided: what they become.
        reading: how they are written.
        columns: which ones; the time and the entity are always read.
        notes: what a person should know is added here, when the last row is read.

    Raises:
        UserError: a row has no time or no entity, or is not what it was when it was looked at.
    """
    opened = file.open()
    clock = Clock(opened, decided.time, reading)
    keys = [decided.time] if decided.entity is None else [decided.entity, decided.time]
    wanted = [it for it in decided.schema.names if it in columns or it in keys]
    first = 0
    for batch in opened.batches(wanted):
        found: dict[str, pa.Array] = {}
        if decided.entity is not None:
            found[decided.entity] = _entities(batch, decided, reading, opened, first)
        entities = found.get(decided.entity or "")
        times = clock.read(_bare(batch, decided.time, reading), entities, first)
        found[decided.time] = _cast(times, decided.schema.field(decided.time).type, decided.time, opened)
        for name in wanted:
            if name not in found:
                found[name] = _values(batch, name, decided.schema.field(name).type, reading, opened)
        yield pa.table(
            {it: found[it] for it in columns}, schema=pa.schema([decided.schema.field(it) for it in columns])
        )
        first += batch.num_rows
    if first != file.rows:
        raise UserError(
            f"{file.name} had {file.rows:,} rows and now has {first:,}: it changed meanwhile; try again"
        )
    if clock.twice:
        notes.append(
            f"{clock.twice:,} rows of {file.name} are at times that clocks in {reading.timezone} showed "
            "twice; of two "
            "rows with the same time the first is taken for the earlier moment"
        )


def _entities(batch: pa.Table, decided: Decided, reading: Reading, rows: Rows, first: int) -> pa.Array:
    assert decided.entity is not None
    found = _values(batch, decided.entity, decided.schema.field(decided.entity).type, reading, rows)
    if found.null_count:
        place = pc.index(pc.is_null(found), True).as_py()
        raise UserError(
            f"{rows.name} {rows.where(first + place)} has no value in {decided.entity!r}, which names "
            f"its series ({found.null_count:,} such rows there); remove such rows, or fill it in"
        )
    return found


def _values(batch: pa.Table, name: str, type_: pa.DataType, reading: Reading, rows: Rows) -> pa.Array:
    column = batch.column(name).combine_chunks()
    if not rows.is_text:
        if reading.infinities == "null" and pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_inf(column), None, column)
        return _cast(column, type_, name, rows)
    if pa.types.is_string(type_):
        return (
            values.without_nulls(column, reading.null_values, usual=False) if reading.null_values else column
        )
    return _cast(_of_text(column, type_, reading), type_, name, rows)


def _of_text(column: pa.Array, type_: pa.DataType, reading: Reading) -> pa.Array:
    """Text as the type that is nearest to it: the cast to the table's own comes after."""
    marks = reading.decimal, reading.thousands
    if pa.types.is_integer(type_) and (whole := values.integers(column, reading.thousands)) is not None:
        return whole
    if pa.types.is_floating(type_) and (found := values.numbers(column, *marks)) is not None:
        return _finite(found, reading)
    column = values.without_nulls(column, reading.null_values, usual=True)
    if pa.types.is_integer(type_):
        found = values.integers(column, reading.thousands)
    elif pa.types.is_boolean(type_):
        found = values.booleans(column)
    else:
        found = values.numbers(column, *marks)
        found = found if found is None else _finite(found, reading)
    return column if found is None else found


def _finite(found: pa.Array, reading: Reading) -> pa.Array:
    return pc.if_else(pc.is_inf(found), None, found) if reading.infinities == "null" else found


def _bare(batch: pa.Table, name: str, reading: Reading) -> pa.Array:
    column = batch.column(name).combine_chunks()
    if pa.types.is_string(column.type):
        return values.without_nulls(column, reading.null_values, usual=True)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _cast(column: pa.Array, type_: pa.DataType, name: str, rows: Rows) -> pa.Array:
    if column.type == type_:
        return column
    try:
        return column.cast(type_, safe=not pa.types.is_floating(type_))
    except pa.ArrowException as error:
        raise UserError(
            f"column {name!r} of {rows.name} holds values that {type_} cannot: "
            f"{str(error).partition(chr(10))[0][:160]}"
        ) from error
