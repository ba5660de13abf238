"""What is left of a run whose head is lost or cannot be read: its manifests, their packs, and old pages.

A manifest tells all of a commit but what only heads and pages know: metrics, tags, pins, notes, marks of
damage. Pages may be of the head that was lost or of older ones, so what they tell may be out of date.

Cost: a list of the run's objects, each manifest and page read once, a request for the size of each pack.
Memory: about 2 KB for each manifest.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import MANIFEST_LIMIT, Commit
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import (
    RUNS,
    Kind,
    checked_word,
    generation,
    manifest_key,
    pack_key,
    parse_key,
)
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.progress import Progress
from storage.objects import NotFound, Truncated

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Survivor:
    """A manifest of the run, and what a head would say of it."""

    name: str
    """Of the manifest."""
    commit: Commit | None
    """None: the manifest cannot be read."""
    packs: Mapping[str, int]
    trouble: str | None
    """Plain words; None: the manifest is in order and its packs are there with their sizes."""

    def keys(self, run: str) -> set[str]:
        """Of the manifest and its packs."""
        return {manifest_key(run, self.name), *map(pack_key, self.packs)}

    @property
    def oldest(self) -> int:
        """The lowest generation of the manifest and its packs."""
        return min(map(generation, (self.name, *self.packs)))


@dataclass(frozen=True, slots=True)
class Remains:
    """All that was found."""

    survivors: tuple[Survivor, ...]
    """In the order in which their commits were made; those that cannot be read come first."""
    told: Mapping[str, tuple[Commit, ...]]
    """By id: what pages say of a commit."""
    bad_pages: tuple[str, ...] = ()
    """Plain words about each page that cannot be read."""

    def also_told(self, commits: Iterable[Commit]) -> "Remains":
        """With what a head tells that can still be read."""
        more = {it.id: (*self.told.get(it.id, ()), it) for it in commits}
        return replace(self, told={**self.told, **more})


@dataclass(slots=True)
class _Names:
    manifests: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)


def remains(shelf: Shelf, run: str, progress: Progress) -> Remains:
    """Read all that is left of a run.

    Raises:
        InvalidName: no run can have this name.
        UnsupportedRepository, WrongKey: a manifest may be in order, but this program or key cannot read it.
    """
    names = _listed(shelf, run)
    with ThreadPoolExecutor(_THREADS) as pool:
        found: list[Survivor] = []
        read = pool.map(lambda item: _read(shelf, run, *item), names.manifests.items())
        for number, survivor in enumerate(read):
            progress("reading manifests", number, len(names.manifests))
            found.append(survivor)
        packs = sorted({pack for survivor in found for pack in survivor.packs})
        sizes = dict(zip(packs, pool.map(lambda pack: _size(shelf, pack), packs), strict=True))
    measured = (_measured(survivor, sizes) for survivor in found)
    told: dict[str, list[Commit]] = defaultdict(list)
    bad = []
    for name, size in names.pages.items():
        try:
            for commit in shelf.read_page(run, name, size):
                told[commit.id].append(commit)
        except Damaged as error:
            bad.append(str(error))
    by_id = {commit: tuple(entries) for commit, entries in told.items()}
    return Remains(tuple(_with_new_bytes(sorted(measured, key=_age))), by_id, tuple(bad))


def _listed(shelf: Shelf, run: str) -> _Names:
    names = _Names()
    for key, size in shelf.files.list(f"{RUNS}{checked_word(run, 'run')}/"):
        parsed = parse_key(key)
        if parsed is not None and parsed.kind is Kind.MANIFEST:
            names.manifests[parsed.name] = size
        elif parsed is not None and parsed.kind is Kind.PAGE:
            names.pages[parsed.name] = size
    return names


def _read(shelf: Shelf, run: str, name: str, size: int) -> Survivor:
    what = f"manifest {name} of run {run!r}"
    try:
        if size > MANIFEST_LIMIT:
            raise Damaged(f"{what} has {size} bytes, more than any manifest")
        manifest = Manifest.from_bytes(_bytes(shelf, manifest_key(run, name), size), what, shelf.identity)
        if manifest.run != run:
            raise Damaged(f"{what} is of run {manifest.run[:80]!r}")
        return Survivor(name, _commit(manifest, name, size, what), dict(manifest.packs), None)
    except Damaged as error:
        return Survivor(name, None, {}, str(error))


def _bytes(shelf: Shelf, key: str, size: int) -> bytes:
    try:
        return shelf.files.get_range(key, 0, size)
    except (NotFound, Truncated) as error:
        raise Damaged(f"{key} is missing or cut short ({error})") from error


def _commit(manifest: Manifest, name: str, size: int, what: str) -> Commit:
    """As a head would tell it. Raises Damaged: no head could."""
    commit = Commit(
        id=manifest.commit_id,
        attempt=manifest.attempt,
        step=manifest.step,
        manifest=name,
        manifest_bytes=size,
        raw_bytes=manifest.raw_bytes,
        new_bytes=size,
        created=manifest.created,
    )
    return Commit.from_json(commit.to_json(), what)


def _size(shelf: Shelf, pack: str) -> int | None:
    try:
        return shelf.files.size(pack_key(pack))
    except NotFound:
        return None


def _measured(survivor: Survivor, sizes: Mapping[str, int | None]) -> Survivor:
    wrong = [
        f"pack {pack} is missing"
        if sizes[pack] is None
        else f"pack {pack} has {sizes[pack]} bytes, not {size}"
        for pack, size in survivor.packs.items()
        if sizes[pack] != size
    ]
    return replace(survivor, trouble="; ".join(wrong[:3])) if wrong else survivor


def _age(survivor: Survivor) -> tuple[str, int, str]:
    commit = survivor.commit
    return ("", 0, survivor.name) if commit is None else (commit.created, commit.step, survivor.name)


def _with_new_bytes(survivors: Iterable[Survivor]) -> Iterator[Survivor]:
    """What each commit has added: packs that no earlier one has."""
    seen: set[str] = set()
    for it in survivors:
        fresh = sum(size for pack, size in it.packs.items() if pack not in seen)
        seen.update(it.packs)
        commit = it.commit
        yield (
            it
            if commit is None
            else replace(it, commit=replace(commit, new_bytes=commit.manifest_bytes + fresh))
        )


def dressed(survivor: Survivor, told: Iterable[Commit]) -> Survivor:
    """With what pages say of the commit. Where they differ, what keeps it longest counts."""
    commit = survivor.commit
    assert commit is not None
    entries = sorted(told, key=lambda entry: entry.manifest)
    metrics: dict[str, float] = {}
    for entry in entries:
        metrics.update(entry.metrics)
    commit = replace(
        commit,
        metrics=metrics,
        tags=tuple(dict.fromkeys(tag for entry in entries for tag in entry.tags)),
        pins=tuple(dict.fromkeys(pin for entry in entries for pin in entry.pins)),
        note=next((entry.note for entry in reversed(entries) if entry.note), ""),
        damaged=survivor.trouble is not None
        or any(entry.damaged and entry.manifest == commit.manifest for entry in entries),
    )
    return replace(survivor, commit=commit)
