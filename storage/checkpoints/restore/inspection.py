"""Is a commit complete? Its manifest parses and has its id, its packs are there with their recorded sizes.

Bytes are not read here: a restore checks them by hash.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Commit, Head, newest_first
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.format.shelf import Shelf
from storage.objects import NotFound

AT_LEAST = 32
"""Commits that a take-over looks at, the newest first; it goes on until one is complete."""

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one commit."""

    commit: Commit
    manifest: Manifest | None
    """None: it cannot be read."""
    trouble: str | None
    """Plain words; None: complete. A commit that is marked damaged stays so."""


class Inspector:
    """Looks at commits of one run; each object is asked for once, since all but heads are immutable."""

    def __init__(self, shelf: Shelf, run: str, sizes: Mapping[str, int] | None = None) -> None:
        """`sizes`: of packs that need not be asked for."""
        self.shelf, self.run = shelf, run
        self._manifests: dict[str, Manifest | str] = {}
        self._sizes: dict[str, int | None] = dict(sizes or {})

    @property
    def sizes(self) -> Mapping[str, int | None]:
        """Of the packs of all commits that were looked at here; None: missing."""
        needed = {p for it in self._manifests.values() if not isinstance(it, str) for p in it.packs}
        return {pack: size for pack, size in self._sizes.items() if pack in needed}

    def newest(self, head: Head) -> list[Verdict]:
        """Verdicts on the newest commits, newest first; a complete one is among them if there is any."""
        verdicts: list[Verdict] = []
        commits = newest_first(head.commits)
        with ThreadPoolExecutor(_THREADS) as pool:
            for begin in range(0, len(commits), AT_LEAST):
                some = commits[begin : begin + AT_LEAST]
                verdicts += self._look(some, pool)
                if any(verdict.trouble is None for verdict in verdicts):
                    break
        return verdicts

    def look(self, commit: Commit) -> Verdict:
        """The verdict on one commit."""
        (verdict,) = self.look_at([commit])
        return verdict

    def look_at(self, commits: Iterable[Commit]) -> list[Verdict]:
        """Verdicts on these commits, in order."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return self._look(list(commits), pool)

    def _look(self, commits: list[Commit], pool: ThreadPoolExecutor) -> list[Verdict]:
        list(pool.map(self._read, [c for c in commits if c.manifest not in self._manifests]))
        packs = {pack for c in commits for pack in self._packs(c)} - self._sizes.keys()
        list(pool.map(self._measure, sorted(packs)))
        return [self._verdict(commit) for commit in commits]

    def _read(self, commit: Commit) -> None:
        try:
            self._manifests[commit.manifest] = self.shelf.read_manifest(self.run, commit)
        except Damaged as error:
            self._manifests[commit.manifest] = str(error)

    def _measure(self, pack: str) -> None:
        try:
            self._sizes[pack] = self.shelf.files.size(pack_key(pack))
        except NotFound:
            self._sizes[pack] = None

    def _packs(self, commit: Commit) -> dict[str, int]:
        found = self._manifests[commit.manifest]
        return {} if isinstance(found, str) else dict(found.packs)

    def _verdict(self, commit: Commit) -> Verdict:
        found = self._manifests[commit.manifest]
        if isinstance(found, str):
            return Verdict(commit, None, found)
        wrong = [
            f"pack {pack} has {self._sizes[pack]} bytes instead of {size}"
            if self._sizes[pack] is not None
            else f"pack {pack} is missing"
            for pack, size in found.packs.items()
            if self._sizes[pack] != size
        ]
        if wrong:
            return Verdict(commit, found, "; ".join(wrong[:3]))
        return Verdict(commit, found, "marked as damaged" if commit.damaged else None)
