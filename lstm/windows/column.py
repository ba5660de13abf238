"""What a user says about one column: how its missing values are dealt with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NullPolicy = Literal["mask", "forward_fill", "drop_window", "error"]
NULL_POLICIES: tuple[NullPolicy, ...] = ("mask", "forward_fill", "drop_window", "error")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table as windows hold it. Null and NaN both count as missing."""

    name: str
    """As the table calls it."""
    nulls: NullPolicy = "mask"
    """Missing values: stay missing (`mask`); take the last known value of their segment, flagged
    (`forward_fill`); leave out every window that holds one (`drop_window`); or are refused (`error`)."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Column.name must name a column")
        if self.nulls not in NULL_POLICIES:
            raise ValueError(f"Column.nulls must be {', '.join(NULL_POLICIES)}, got {self.nulls!r}")

    @property
    def needs_index(self) -> bool:
        """Whether a plan must know where the column's values are missing."""
        return self.nulls != "mask"


def as_columns(columns: Sequence[str | Column]) -> tuple[Column, ...]:
    """Columns that are given by name alone are as the defaults say."""
    return tuple(Column(name=column) if isinstance(column, str) else column for column in columns)
