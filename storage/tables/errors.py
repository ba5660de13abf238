"""What can go wrong with a table, grouped by what the reader of the message can do about it."""

from storage.errors import UserError


class TableError(UserError):
    """A table cannot be used as asked; the message says what, the numbers, and the remedy."""


class TableMissing(TableError):
    """Nothing at that place is a table of that format."""


class TableExists(TableError):
    """Another table stands where one was to be created."""


class NoSuchSnapshot(TableError):
    """The snapshot never was, or its log entries are gone; the message names those that can be read."""


class SnapshotDamaged(TableError):
    """A file that the snapshot needs is gone or cut short (vacuumed, expired, deleted by hand)."""


class UnsupportedTable(TableError):
    """The table uses a feature that would be read wrongly; the message names the feature."""


class SchemaMismatch(TableError):
    """Rows do not fit the table's columns."""


class NoSuchColumn(TableError):
    """A column was asked for that the snapshot does not have; the message lists those it has."""


class CommitContention(TableError):
    """Other writers won every race for the next version; nothing was added, the same call may be repeated."""
