"""Packs that other runs name: forks share some, and so do runs that began with the same tensors."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from storage.checkpoints.head import Commit
from storage.checkpoints.manifest import packs_of
from storage.checkpoints.names import manifest_key
from storage.checkpoints.pack_lists import PackLists
from storage.checkpoints.pages import read_whole
from storage.checkpoints.shelf import Shelf
from storage.objects import NotFound, Truncated

_THREADS = 8


def packs_of_others(shelf: Shelf, run: str, lists: PackLists | None = None) -> set[str]:
    """Packs that runs other than this one name.

    Lists the runs, and reads each head, each page, and each manifest (once ever, with `lists`).

    Raises:
        Damaged: a head, a page or a manifest of another run cannot be understood.
    """
    packs: set[str] = set()
    for other in shelf.runs():
        if other != run:
            packs |= _packs_of(shelf, other, read_whole(shelf, other).entries, lists)
    return packs


def _packs_of(shelf: Shelf, run: str, commits: Iterable[Commit], lists: PackLists | None) -> set[str]:
    sizes = {manifest_key(run, it.manifest): it.manifest_bytes for it in commits}
    known = {} if lists is None else lists.get(list(sizes))
    unread = [key for key in sizes if key not in known]

    def read(key: str) -> list[str] | None:
        try:
            return list(packs_of(shelf.files.get_range(key, 0, sizes[key]), key))
        except (NotFound, Truncated):
            return None  # dropped and collected meanwhile, or lost: either way it needs no pack any more

    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(unread, pool.map(read, unread), strict=True))
    fresh = {key: packs for key, packs in found.items() if packs is not None}
    if lists is not None:
        lists.put(fresh)
    return {pack for packs in (*known.values(), *fresh.values()) for pack in packs}
