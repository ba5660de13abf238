"""Whether the batches of several tables mean the same, cell by cell, so that they can be mixed."""

from collections.abc import Sequence

from lstm.windows.errors import WindowError
from lstm.windows.features.finish import Finish
from lstm.windows.features.vocabulary import FIRST
from lstm.windows.table.column import Column
from lstm.windows.table_windows import TableWindows

_LEARN = "open the second with learned=first.learned"


def check_mixable(tables: Sequence[TableWindows]) -> None:
    """Compare each table with the first.

    Raises:
        WindowError: there is none; or two differ in columns, in what these are, in what their ids and scaled
            numbers mean, in shape, or in whether they have a calendar; or series of one are weighted.
    """
    if not tables:
        raise WindowError("a mixture needs at least one table")
    for other in tables[1:]:
        _check_shape(tables[0], other)
        _check_columns(tables[0], other)
        _check_vocabularies(tables[0], other)
        _check_scaling(tables[0], other)
    for table in tables:
        if table.plan.weights is not None:
            raise WindowError(
                f"series of {table.plan.table} are weighted, which a mixture does not do: its passes would "
                "differ in length; leave order.temperature and order.weights out, and weigh the tables"
            )


def _check_shape(one: TableWindows, other: TableWindows) -> None:
    for what, a, b in (
        ("columns", one.reader.columns, other.reader.columns),
        ("ids", one.reader.features.ids, other.reader.features.ids),
        ("static columns", one.static_columns, other.static_columns),
        ("context and horizon", _shape(one), _shape(other)),
        ("argument calendar, given or left out", _has_calendar(one), _has_calendar(other)),
        ("cycles in their calendar", _calendar_width(one), _calendar_width(other)),
    ):
        if a != b:
            raise WindowError(
                f"tables of a mixture need the same {what}, but {one.plan.table} has {a} and "
                f"{other.plan.table} has {b}"
            )


def _check_columns(one: TableWindows, other: TableWindows) -> None:
    """What each column is said to be; how missing values are treated may differ, unless cells tell of it."""
    known: dict[str, Column] = {column.name: column for column in other.reader.features.columns}
    for column in one.reader.features.columns:
        for field in ("kind", "width", "role", "scaling"):
            a, b = getattr(column, field), getattr(known[column.name], field)
            if a != b:
                raise WindowError(
                    f"column {column.name!r} has {field} {a} in {one.plan.table} and {b} in "
                    f"{other.plan.table}, which a mixture cannot hold; open both with the same columns"
                )


def _check_vocabularies(one: TableWindows, other: TableWindows) -> None:
    for name in (*one.reader.features.ids, *one.static_columns[1]):
        a, b = (_values(table, name) for table in (one, other))
        if a == b:
            continue
        at = next((at for at, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), None)
        if at is None:
            differ = f"{len(a)} values in {one.plan.table} and {len(b)} in {other.plan.table}"
        else:
            differ = (
                f"id {FIRST + at} for {a[at]!r} in {one.plan.table} and for {b[at]!r} in {other.plan.table}"
            )
        raise WindowError(f"column {name!r} has {differ}; in a mixture an id means one value: {_LEARN}")


def _check_scaling(one: TableWindows, other: TableWindows) -> None:
    """By series and by window every table has its own."""
    a, b = _finish(one).shared, _finish(other).shared
    for cell, (level, spread) in a.items():
        if b[cell] != (level, spread):
            raise WindowError(
                f"column {cell!r} is scaled by mean {level:g} and deviation {spread:g} in {one.plan.table}, "
                f"and by {b[cell][0]:g} and {b[cell][1]:g} in {other.plan.table}; {_LEARN}, or scale it by "
                "series or by window"
            )


def _finish(table: TableWindows) -> Finish:
    return table.finish or Finish(table.reader.features, table.plan)


def _shape(table: TableWindows) -> tuple[int, int]:
    return table.plan.window.context, table.plan.window.horizon


def _has_calendar(table: TableWindows) -> bool:
    return table.finish is not None and table.finish.calendar is not None


def _calendar_width(table: TableWindows) -> int:
    calendar = None if table.finish is None else table.finish.calendar
    return 0 if calendar is None else calendar.features


def _values(table: TableWindows, name: str) -> tuple[str | int | bool, ...]:
    vocabulary = table.reader.features.vocabularies.get(name)
    return () if vocabulary is None else vocabulary.values
