"""What can be wrong with a table, a plan or a budget, grouped by what its owner can do about it."""

from storage.errors import UserError


class WindowError(UserError):
    """Windows cannot be made or read as asked; the message says what, the numbers, and the remedy."""


class MissingColumn(WindowError):
    """The table has no column of that name; the message lists those it has."""


class WrongColumnType(WindowError):
    """A column's type cannot serve as entity, time or feature."""


class NullKey(WindowError):
    """A row has no entity or no time."""


class EmptyTable(WindowError):
    """The snapshot has no rows."""


class DuplicateRows(WindowError):
    """Two rows of one entity have the same time."""


class UnsortedTable(WindowError):
    """Rows are not ordered so that windows can be read in runs; the message says where."""


class OffGrid(WindowError):
    """Rows of a series do not lie on the grid that was asked for; the message names one of them."""


class GridTooFine(WindowError):
    """A grid, or the gaps that it is to fill, would make far more rows than the table has."""


class TooFewRows(WindowError):
    """No segment is long enough for one window."""


class EmptySplit(WindowError):
    """A split that was asked for holds no window."""


class BudgetTooSmall(WindowError):
    """A rank cannot hold the superblocks that an epoch's order needs; the message says what would fit."""


class TooManyRanks(WindowError):
    """More ranks than lanes."""


class OtherProcess(WindowError):
    """A stream was used in another process than the one that opened it, or was to be pickled into one."""


class CursorMismatch(WindowError):
    """A cursor belongs to another plan, seed or batch size."""


class PlanMismatch(WindowError):
    """A frozen plan does not fit the snapshot, or was written by another version, or is damaged."""


class MissingValues(WindowError):
    """A column whose null policy is `error`, or of tokens without a policy, has a row without a value."""


class VaryingValues(WindowError):
    """A static column holds several values for one entity."""


class BadRecording(WindowError):
    """A recording cannot be read, or is not like the others."""


class InfiniteValues(WindowError):
    """A feature holds infinities, which no scaling can undo."""
