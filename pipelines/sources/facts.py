"""What is known of the files before any row is written: found by going through each of them once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from pipelines.sources.profile import Profile
from pipelines.sources.reading import Reading
from pipelines.sources.say import listed
from storage.errors import UserError


class Rows(Protocol):
    """A file of any kind, as rows."""

    name: str
    columns: tuple[str, ...]
    is_text: bool
    """Whether every value comes as text."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows in file order; the same ones each time."""

    def where(self, row: int) -> str:
        """The n-th row as people find it: `line 7`."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file and what its columns hold."""

    name: str
    digest: str
    open: Callable[[], Rows]
    """Opens it anew: it may have been fetched, and given up, meanwhile."""
    columns: dict[str, Profile]
    rows: int

    def where(self, row: int) -> str:
        """A row of it as people find it."""
        return f"{self.name} {self.open().where(row)}"


def look_at(
    name: str,
    digest: str,
    open_: Callable[[], Rows],
    reading: Reading,
    shown: Callable[[Iterable[pa.Table], str], Iterator[pa.Table]],
) -> FileFacts:
    """Go through a file and count what its columns hold.

    Args:
        name: what a person calls it.
        digest: of its content.
        open_: opens it.
        reading: which columns, and how they are written.
        shown: passes batches on, and shows how far it is.

    Raises:
        UserError: it cannot be read, lacks a column that was asked for, or has no rows.
    """
    opened = open_()
    wanted = reading.columns or opened.columns
    if missing := [it for it in wanted if it not in opened.columns]:
        raise UserError(f"{name} has no column {missing[0]!r}; it has {listed(opened.columns)}")
    if "" in wanted:
        place = opened.columns.index("") + 1
        raise UserError(
            f"column {place} of {name} has no name; name it in the header, or name the columns to take: "
            f"--columns {','.join(it for it in opened.columns if it)}"
        )
    found: dict[str, Profile] = {}
    rows = 0
    for batch in shown(opened.batches(wanted), f"looking at {name}"):
        for column in wanted:
            values = batch.column(column)
            if column not in found:
                found[column] = Profile(values.type, from_text=opened.is_text)
            found[column].add(values, reading)
        rows += batch.num_rows
    if not rows:
        raise UserError(f"{name} has columns but no rows; nothing to ingest")
    return FileFacts(name, digest, open_, found, rows)


def profiles_of(files: Sequence[FileFacts], name: str) -> list[Profile]:
    """What a column holds in each file."""
    return [file.columns[name] for file in files]
