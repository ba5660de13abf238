"""Whether a table's columns can be what windows take them for."""

from collections.abc import Sequence

import pyarrow as pa

from lstm.windows.errors import WrongColumnType
from lstm.windows.table.column import Column
from lstm.windows.table.columns import check_features, column_type, is_number, is_text, list_value


def check_columns(schema: pa.Schema, columns: Sequence[Column]) -> None:
    """Check that columns are there, and are what they are said to be.

    Raises:
        MissingColumn: there is no such column.
        WrongColumnType: a column of another type.
    """
    for column in columns:
        kind = column_type(schema, column.name)
        value = list_value(kind)
        if column.kind == "category":
            check_category(kind, column.name)
        elif column.kind == "token":
            if not pa.types.is_integer(kind):
                raise WrongColumnType(f"column {column.name!r} is {kind}, but tokens must be integers")
        elif value is not None and is_number(value):
            if column.width == 1 and not (pa.types.is_fixed_size_list(kind) and kind.list_size == 1):
                raise WrongColumnType(
                    f"column {column.name!r} is {kind}: say how many numbers each row holds, "
                    f"Column(name={column.name!r}, width=…)"
                )
        elif column.width > 1:
            raise WrongColumnType(
                f"column {column.name!r} is {kind}, but a width of {column.width} is for lists of numbers"
            )
        else:
            check_features(schema, [column.name])


def check_category(kind: pa.DataType, name: str) -> None:
    """Raise WrongColumnType unless a column of this type can be a category."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (is_text(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)):
        raise WrongColumnType(f"column {name!r} is {kind}, but categories must be text, integers or booleans")
