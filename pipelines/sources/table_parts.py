"""Parquet files that are parts of a table: they keep rows that the table does not have any more.

A Delta or Iceberg table deletes and overwrites rows by writing down that they are gone, beside its files.
Who reads the files alone gets those rows back.
"""

import re
from collections.abc import Callable, Iterable

from storage.errors import UserError

_MARKS = {
    "Delta": ("_delta_log/", re.compile(r".+\.(json|parquet)")),
    "Iceberg": ("metadata/", re.compile(r".+\.metadata\.json(\.gz)?")),
}
"""Folder in a table's own that tells it is one, and files that are in there."""


def refuse_parts(
    files: Iterable[str], names_in: Callable[[str], Iterable[str]], called: Callable[[str], str]
) -> None:
    """Refuse files that lie in the folder of a table, at any depth.

    Args:
        files: paths or keys of Parquet files, parts divided by `/`.
        names_in: names of the files in a folder, which ends with `/`; none if there is no such folder.
        called: a path or key as people write it.

    Raises:
        UserError: one does.
    """
    seen: set[str] = set()
    for file in files:
        folder = file
        while folder:
            folder = folder[: folder.rstrip("/").rfind("/") + 1]
            if folder in seen:
                break  # and so are those around it
            seen.add(folder)
            for kind, (inside, written) in _MARKS.items():
                if any(written.fullmatch(it) for it in names_in(folder + inside)):
                    _refuse(called(file), kind, called(folder).rstrip("/"))


def _refuse(file: str, kind: str, table: str) -> None:
    remedy = f"`carousel train --table {table}` reads the table as it is"
    if "://" not in table:
        remedy = f"copy all of {table} into a bucket, and `carousel train --table s3://...` reads it as it is"
    raise UserError(
        f"{file} belongs to the {kind} table {table}, whose files also hold rows that were deleted or "
        f"overwritten: ingesting them would bring these back; {remedy}"
    )
