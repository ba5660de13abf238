"""What collections of this host have read, so that later ones read only manifests that are new."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.checkpoints import PackLists
from storage.errors import UserError

FOLDER, FILE = "collections", "manifests.db"


@contextmanager
def remembered(root: Path) -> Iterator[PackLists]:
    """The file under `root`, made if it is not there. One serves any number of repositories."""
    path = root / FOLDER / FILE
    try:
        with PackLists(path) as lists:
            yield lists
    except sqlite3.Error as error:
        raise UserError(
            f"{path} holds what earlier collections have read, and cannot be used ({error}); if it is"
            " damaged, remove it: the next collection reads every manifest once more"
        ) from error
