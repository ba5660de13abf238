"""What can be read of a commit of an encrypted repository without the key: which packs it needs."""

from collections.abc import Mapping
from dataclasses import dataclass

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import packs_of
from storage.checkpoints.format.names import manifest_key
from storage.checkpoints.format.shelf import Shelf
from storage.objects import NotFound, Truncated


@dataclass(frozen=True, slots=True)
class Outside:
    """A manifest that nobody has opened."""

    packs: Mapping[str, int]
    """Every pack that a restore needs, with its bytes."""


def read_outside(shelf: Shelf, run: str, commit: Commit) -> Outside:
    """A commit's manifest without the key. Raises Damaged: it is missing, or no manifest."""
    what = f"manifest {commit.manifest} of {run}/{commit.id}"
    try:
        data = shelf.files.get_range(manifest_key(run, commit.manifest), 0, commit.manifest_bytes)
    except (NotFound, Truncated) as error:
        raise Damaged(f"{what} is missing or cut short ({error})") from error
    return Outside(packs_of(data, what))
