"""Pages: the older commits of a long head, so that a head stays small however many commits its run has.

A page is immutable and lists commits as a head does. With 10^6 commits a head takes at most 350 KiB: 512
commits of 0.4 KiB, and 55 bytes for each page of 385.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from storage.checkpoints.errors import Damaged, TooLarge
from storage.checkpoints.format.head import Commit, Head, newest_first
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.host_memory import memory

HEAD_COMMITS = 512
"""Commits that a head holds before older ones move to a page."""
STAY = 128
"""Commits of the highest steps that stay in the head then."""
JUST_WRITTEN = 32
"""Commits that stay because they were written last: who has lost an answer looks for it there."""

_IN_MEMORY = 4
"""Bytes that a byte of a page takes in memory: 2.5 were measured of our own pages, 4.0 of hostile ones."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that a head names."""

    name: str
    size: int
    """Bytes."""
    commits: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class WholeRun:
    """A head and all of its pages."""

    head: Head
    etag: str
    pages: tuple[Page, ...]

    @property
    def entries(self) -> tuple[Commit, ...]:
        """Every entry, in the order written. A state that was saved again much later has two of them."""
        return (*(commit for page in self.pages for commit in page.commits), *self.head.commits)

    @property
    def commits(self) -> tuple[Commit, ...]:
        """Every commit, in the order written: of two entries of the same id, the later one."""
        return latest(self.entries)


def latest(entries: Iterable[Commit]) -> tuple[Commit, ...]:
    """Of entries of the same id only the last one: no page and no head may have an id twice."""
    found: dict[str, Commit] = {}
    for commit in entries:
        found.pop(commit.id, None)
        found[commit.id] = commit
    return tuple(found.values())


def read_whole(shelf: Shelf, run: str) -> WholeRun:
    """A run's head and pages, all of the same moment.

    Raises:
        RunMissing, Damaged: they cannot be read.
        TooLarge: the pages exceed this host's memory.
    """
    tries = 0
    while True:
        head, etag = shelf.read_head(run)
        if head.pages:
            _check_size(run, head)
        try:
            pages = tuple(Page(name, size, shelf.read_page(run, name, size)) for name, size in head.pages)
        except Damaged:
            tries += 1
            now, _ = shelf.read_head(run)
            if now.pages == head.pages or tries > Retries.LIMIT:
                raise
        else:
            return WholeRun(head, etag, pages)


def _check_size(run: str, head: Head) -> None:
    """Raises TooLarge. A page that is there has as many bytes as the head says, else it is not read."""
    size, allowed = sum(size for _, size in head.pages), memory().total
    if _IN_MEMORY * size > allowed:
        raise TooLarge(
            f"the {len(head.pages)} pages of run {run!r} have {size} bytes, which take up to"
            f" {_IN_MEMORY * size} in memory, and this host has {allowed}; read it on a larger one, or name"
            " one of the newest commits by its whole id: for those no page is read"
        )


def each_page(shelf: Shelf, run: str) -> Iterator[Page]:
    """The pages of a run one by one, and at last its head's own commits as a page without a name.

    Holds one of them at a time. Of pages that are replaced meanwhile, the new ones come too.
    """
    seen: set[str] = set()
    tries = 0
    while True:
        head, _ = shelf.read_head(run)
        try:
            for name, size in head.pages:
                if name not in seen:
                    page = Page(name, size, shelf.read_page(run, name, size))
                    seen.add(name)
                    yield page
        except Damaged:
            tries += 1
            now, _ = shelf.read_head(run)
            if now.pages == head.pages or tries > Retries.LIMIT:
                raise
        else:
            yield Page("", 0, head.commits)
            return


def broken_page(shelf: Shelf, run: str, head: Head) -> str | None:
    """What is wrong with a page that a head names, in plain words; None: all of them can be read."""
    for name, size in head.pages:
        try:
            shelf.read_page(run, name, size)
        except Damaged as error:
            return str(error)
    return None


def turned(shelf: Shelf, run: str, head: Head, generation: int) -> Head:
    """`head`, or if it is long, one whose older commits stand in new pages, which are written here.

    Call it after the head that is to be replaced was read, and anew for each try to replace it: then a
    collection that condemns the new pages has rewritten the head meanwhile, and the try is lost.
    """
    if len(head.commits) <= HEAD_COMMITS:
        return head
    newest = (*newest_first(head.commits)[:STAY], *head.commits[-JUST_WRITTEN:])
    staying = {commit.id for commit in newest}
    older = tuple(commit for commit in head.commits if commit.id not in staying)
    pages = (*head.pages, *write_pages(shelf, run, older, generation))
    return replace(head, commits=tuple(it for it in head.commits if it.id in staying), pages=pages)


def write_pages(
    shelf: Shelf, run: str, commits: tuple[Commit, ...], generation: int
) -> tuple[tuple[str, int], ...]:
    """New pages of these commits, in order: name and bytes of each."""
    parts = [commits[begin : begin + HEAD_COMMITS] for begin in range(0, len(commits), HEAD_COMMITS)]
    return tuple(shelf.write_page(run, part, generation) for part in parts)
