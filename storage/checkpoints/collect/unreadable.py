"""A collection's list that is lost or cannot be read: nothing is lost with it, but saves may wait for it.

A save reads the lists from the newest one it knew when it began, so a newest list that cannot be read stops
every save that must look at lists. Whoever lists a newer one first needs the damaged one no more: a
collection that is still at work on its account either has rewritten all heads, so that what it deletes is
in none that is read later, or finds the newer list and stops. So beginning the next list, empty if need be,
is the remedy; the damaged one stays where it is, as a list that were made up in its place could leave out
what it condemned.

What only an old list can tell (a repair, a drop taken back) is guessed on the safe side: a collection lists
objects before it writes its list, so it has condemned nothing whose generation is its own number or above.
"""

from collections.abc import Collection

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.names import generation
from storage.checkpoints.format.shelf import Shelf


def unreadable_newest(shelf: Shelf, newest: int | None = None) -> str | None:
    """Why the newest collection's list (`newest`: its number) cannot be read; None: it can, or there is none.

    Raises Damaged: among the collections lies what is none.
    """
    number = shelf.newest_collection() if newest is None else newest
    try:
        shelf.condemned(number, number)
    except Damaged as error:
        return str(error)
    return None


def begin_newer(shelf: Shelf) -> int | None:
    """If the newest list cannot be read, begin a collection that condemns nothing; its number.

    Needs no right to delete. None: the newest list is in order. What it leaves is what a collection leaves
    that was killed just after it wrote its list.
    """
    newest = shelf.newest_collection()
    if unreadable_newest(shelf, newest) is None:
        return None
    shelf.create_collection(newest + 1, ())  # if another has begun it meanwhile, that is as good
    return newest + 1


def maybe_condemned(shelf: Shelf, keys: Collection[str], first: int, last: int) -> set[str]:
    """Those of these keys that stand in a list from `first` to `last`, or may stand in one of them.

    Args:
        shelf: the repository.
        keys: of packs, manifests and pages.
        first, last: numbers of collections, both included. One list at a time is held: it may be long.
    """
    there = [number for number in shelf.collections() if max(first, 1) <= number <= last]
    found: set[str] = set()
    unknown = _highest_missing(there, max(first, 1), last)
    for number in there:
        try:
            found |= shelf.condemned(number, number).intersection(keys)
        except Damaged:
            unknown = max(unknown, number)
    return found.union(key for key in keys if generation(key.rpartition("/")[2]) < unknown)


def _highest_missing(there: list[int], first: int, last: int) -> int:
    """The highest number from `first` to `last` that is not in `there` (sorted); 0: none lacks."""
    wanted = last
    for number in reversed(there):
        if number != wanted:
            break
        wanted -= 1
    return wanted if wanted >= first else 0
