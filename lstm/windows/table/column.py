"""What a user says about one column: what it holds, when it is known, how it is made ready."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lstm.windows.errors import WindowError

NullPolicy = Literal["mask", "forward_fill", "drop_window", "error"]
NULL_POLICIES: tuple[NullPolicy, ...] = ("mask", "forward_fill", "drop_window", "error")
Kind = Literal["number", "category", "token"]
KINDS: tuple[Kind, ...] = ("number", "category", "token")
Role = Literal["any", "past", "known", "static", "target"]
ROLES: tuple[Role, ...] = ("any", "past", "known", "static", "target")
ScaledBy = Literal["none", "global", "series", "window"]
SCALED_BY: tuple[ScaledBy, ...] = ("none", "global", "series", "window")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table as windows hold it. Null, NaN and a list that holds one are missing."""

    name: str
    """As the table calls it."""
    kind: Kind = "number"
    """A `number` (boolean, or a list of `width` numbers); a `category`, which becomes the id of its value in
    the vocabulary of the training rows; a `token`: an integer that is its own id, int32, from 0."""
    width: int = 1
    """Numbers in each row's list (a frame, an embedding); 1: the column is no list."""
    role: Role = "any"
    """When it is known. `past`: never in the horizon, where it is hidden; `known`: beforehand, horizon
    included; `static`: one value per entity; `target`: what is forecast; `any`: the caller sees all rows."""
    nulls: NullPolicy | None = None
    """Missing values: stay missing (`mask`); take the last known value of their segment, flagged
    (`forward_fill`); leave out every window that reads one (`drop_window`); or are refused (`error`). None:
    `mask`, but a missing token is refused where it is read, since 0, which would mask it, is a token too."""
    scaling: ScaledBy = "none"
    """Standardised by mean and deviation of all training rows (`global`), of its entity's (`series`), or of
    its window's context (`window`)."""
    varies: Literal["error", "first"] = "error"
    """Of a static column, where an entity's training rows hold several values: refused, or the first."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Column.name must name a column")
        allowed = {
            "kind": KINDS,
            "role": ROLES,
            "nulls": NULL_POLICIES,
            "scaling": SCALED_BY,
            "varies": ("error", "first"),
        }
        if self.nulls is None:
            del allowed["nulls"]
        for name, values in allowed.items():
            if (value := getattr(self, name)) not in values:
                raise ValueError(f"Column.{name} must be {', '.join(values)}, got {value!r}")
        if self.width < 1:
            raise ValueError(f"Column.width must be >= 1, got {self.width}")
        if self.nulls == "forward_fill" and not self.can_fill:
            raise ValueError(
                f"Column.nulls of {self.name!r} cannot be forward_fill: only single numbers are filled, "
                "and a category has an id for missing values; choose mask, drop_window or error"
            )
        if self.kind != "number" and (self.scaling != "none" or self.width > 1):
            raise ValueError(f"Column.scaling and .width of {self.name!r} are for numbers, not a {self.kind}")
        if self.role == "static" and (self.needs_index or self.scaling != "none" or self.width > 1):
            raise ValueError(
                f"Column.nulls, .scaling and .width of {self.name!r} are for columns that change with time, "
                "not for a static one"
            )

    @property
    def cells(self) -> tuple[str, ...]:
        """What each of its numbers is called; its id, if it is one."""
        return (self.name,) if self.width == 1 else tuple(f"{self.name}[{i}]" for i in range(self.width))

    @property
    def needs_index(self) -> bool:
        """Whether a plan must know where the column's values are missing."""
        return self.policy != "mask"

    @property
    def policy(self) -> NullPolicy:
        """What becomes of missing values in windows."""
        return self.nulls or "mask"

    @property
    def can_fill(self) -> bool:
        """Whether missing values can take others: single numbers."""
        return self.kind == "number" and self.width == 1

    @property
    def refuses_read(self) -> bool:
        """Whether a missing value is refused when it is read: of a token about which nothing was said."""
        return self.kind == "token" and self.nulls is None

    @property
    def is_id(self) -> bool:
        """Whether its cells are ids, int32, and no numbers."""
        return self.kind != "number"


def as_columns(columns: Sequence[str | Column]) -> tuple[Column, ...]:
    """Columns that are given by name alone are as the defaults say.

    Raises:
        WindowError: one is neither a name nor a column, or two have one name.
    """
    if wrong := [column for column in columns if not isinstance(column, str | Column)]:
        raise WindowError(f"columns must be names, or Column(name=…) to say more, got {wrong[0]!r}")
    found = tuple(Column(name=column) if isinstance(column, str) else column for column in columns)
    for name, times in Counter(column.name for column in found).items():
        if times > 1:
            raise WindowError(
                f"column {name!r} is named {times} times, and only the settings of one would hold; name each "
                "column once"
            )
    return found
