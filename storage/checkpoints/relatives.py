"""Runs that may share packs: forks of each other. Nothing else makes two runs name the same pack."""

from storage.checkpoints.manifest import packs_of
from storage.checkpoints.names import manifest_key
from storage.checkpoints.pages import read_whole
from storage.checkpoints.shelf import Shelf
from storage.objects import NotFound, Truncated


def packs_of_relatives(shelf: Shelf, run: str) -> set[str]:
    """Packs that other runs of the same family name. Lists the runs, and reads each head once.

    Raises:
        Damaged: a head, a page or a manifest of a relative cannot be understood.
    """
    packs: set[str] = set()
    for relative in _relatives(shelf, run):
        for commit in read_whole(shelf, relative).entries:
            key = manifest_key(relative, commit.manifest)
            try:
                data = shelf.files.get_range(key, 0, commit.manifest_bytes)
            except (NotFound, Truncated):
                continue  # dropped and collected meanwhile, or lost: either way it needs no pack any more
            packs.update(packs_of(data, key))
    return packs


def _relatives(shelf: Shelf, run: str) -> set[str]:
    """Forks of this run, what it is a fork of, and theirs, without itself."""
    parents: dict[str, str] = {}
    runs = shelf.runs()
    for name in runs:
        head, _ = shelf.read_head(name)
        if head.parent is not None:
            parents[name] = head.parent.run
    found, pending = {run}, [run]
    while pending:
        one = pending.pop()
        near = {child for child, parent in parents.items() if parent == one} | {parents.get(one, one)}
        pending += near - found
        found |= near
    return (found & set(runs)) - {run}
