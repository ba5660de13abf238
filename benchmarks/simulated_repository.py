"""A repository of very many commits, made by a formula from the product's own encoders: nothing is held.

One run has all commits, and for each hundred of them another run has one. Every commit has a pack of its own
with ten chunks of 1 MiB, and ten more (layers that did not change) in a pack that a thousand commits share.
One pack and one manifest in a hundred belong to saves that were killed: garbage, older than collection 1.
The bytes of packs are nobody's: what is measured here never reads them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from storage.checkpoints.format.canonical import dumps
from storage.checkpoints.format.head import Commit, Head
from storage.checkpoints.format.identity import Clear
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest, commit_id
from storage.checkpoints.format.names import (
    PACKS,
    REPOSITORY,
    RUNS,
    Kind,
    collection_key,
    head_key,
    manifest_key,
    object_name,
    pack_key,
    page_key,
    parse_key,
)
from storage.checkpoints.format.pages import HEAD_COMMITS, STAY
from storage.checkpoints.format.shelf import FORMAT
from storage.checkpoints.format.stored_tensor import StoredTensor
from storage.checkpoints.tensor import Buffer

LONG = "long"
"""The run that has all commits."""
CHUNKS = 10
"""Of each of a commit's two tensors."""
FIRST_STEP = 10**7
"""So that every step, and so every manifest, takes equally many bytes."""

_CHUNK = 2**20
_PER_PAGE = HEAD_COMMITS - STAY + 1
_IN_HEAD = 320
"""Commits in the long run's head: the mean between two pages."""
_SHARING = 1000
_GARBAGE_EVERY = 100
_COMMITS_PER_RUN = 100
_SHARED, _GARBAGE, _MODEL = 2**64, 2**65, 2**66
"""Numbers from which those packs are named, so that all packs of a kind stand together in a list."""
_ATTEMPT = "a1"
_WRITTEN = "2026-01-01T00:00:00.000+00:00"


@dataclass(frozen=True)
class SimulatedRepository:
    """An `Archive` (see `benchmarks.simulated_store`) of about `wanted` commits in one run."""

    wanted: int

    @cached_property
    def pages(self) -> int:
        """Of the long run's head."""
        return max(0, round((self.wanted - _IN_HEAD) / _PER_PAGE))

    @cached_property
    def commits(self) -> int:
        """In the long run."""
        return self.pages * _PER_PAGE + _IN_HEAD if self.pages else self.wanted

    @cached_property
    def others(self) -> int:
        """Runs of one commit each."""
        return self.commits // _COMMITS_PER_RUN

    @property
    def chunks(self) -> int:
        """Different ones that live packs hold."""
        return CHUNKS * (self.commits + self.others + self._shared_packs)

    @property
    def _shared_packs(self) -> int:
        return -(-(self.commits + self.others) // _SHARING)

    @property
    def garbage(self) -> int:
        """Packs that nothing names; as many manifests."""
        return self.commits // _GARBAGE_EVERY

    def content(self, key: str) -> bytes | None:
        """See `Archive`."""
        if key == REPOSITORY:
            return dumps({"encryption": None, "format": FORMAT})
        if key == collection_key(1):
            return dumps({"condemned": []})
        parsed = parse_key(key)
        if parsed is None or parsed.kind is Kind.PACK:
            return None
        if parsed.kind is Kind.HEAD:
            return self._head(parsed.run)
        number = int(parsed.name[9:], 16)
        if parsed.kind is Kind.MANIFEST:
            return self._models[parsed.run == LONG].manifest(parsed.run, number)
        return dumps({"commits": [it.to_json() for it in self._page(number)]})

    def size(self, key: str) -> int | None:
        """See `Archive`."""
        parsed = parse_key(key)
        if parsed is not None and parsed.kind is Kind.PACK:
            return CHUNKS * _CHUNK
        data = self.content(key)
        return None if data is None else len(data)

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See `Archive`."""
        for key, size in self._all(prefix):
            if key.startswith(prefix):
                yield key, size

    def _all(self, prefix: str) -> Iterator[tuple[str, int]]:
        if collection_key(1).startswith(prefix):
            yield collection_key(1), len(self.content(collection_key(1)) or b"")
        if PACKS.startswith(prefix):
            for number in range(self.commits + self.others):
                yield pack_key(_name(number)), CHUNKS * _CHUNK
            for number in range(self._shared_packs):
                yield pack_key(_name(_SHARED + number)), CHUNKS * _CHUNK
            for number in range(self.garbage):
                yield pack_key(_name(_GARBAGE + number)), CHUNKS * _CHUNK
        if REPOSITORY.startswith(prefix):
            yield REPOSITORY, len(self.content(REPOSITORY) or b"")
        if RUNS.startswith(prefix):
            yield from self._runs()

    def _runs(self) -> Iterator[tuple[str, int]]:
        yield head_key(LONG), len(self._head(LONG) or b"")
        for number in range(self.commits):
            yield manifest_key(LONG, _name(number)), self._manifest_bytes(LONG)
        for number in range(self.garbage):
            yield manifest_key(LONG, _name(_GARBAGE + number)), self._manifest_bytes(LONG)
        for number in range(self.pages):
            yield page_key(LONG, _name(number)), self._page_bytes
        for number in range(self.commits, self.commits + self.others):
            run = _other(number)
            yield head_key(run), self._other_head_bytes
            yield manifest_key(run, _name(number)), self._manifest_bytes(run)

    def _head(self, run: str) -> bytes | None:
        pages: tuple[tuple[str, int], ...] = ()
        if run == LONG:
            pages = tuple((_name(number), self._page_bytes) for number in range(self.pages))
            numbers = range(self.pages * _PER_PAGE, self.commits)
        else:
            number = int(run.rpartition("-")[2])
            if not self.commits <= number < self.commits + self.others:
                return None
            numbers = range(number, number + 1)
        commits = tuple(self._commit(run, it) for it in numbers)
        return Head(version=1, nonce="0" * 32, writer=_ATTEMPT, commits=commits, pages=pages).to_bytes()

    def _page(self, number: int) -> list[Commit]:
        begin = number * _PER_PAGE
        return [self._commit(LONG, it) for it in range(begin, begin + _PER_PAGE)]

    def _commit(self, run: str, number: int) -> Commit:
        model = self._models[run == LONG]
        return Commit(
            id=model.commit_id(number),
            attempt=_ATTEMPT,
            step=FIRST_STEP + number,
            manifest=_name(number),
            manifest_bytes=model.manifest_bytes,
            raw_bytes=2 * CHUNKS * _CHUNK,
            new_bytes=CHUNKS * _CHUNK,
            created=_WRITTEN,
            metrics={"validation_loss": 0.123456789},
        )

    @cached_property
    def _models(self) -> "tuple[_Model, _Model]":
        return _Model(_other(0)), _Model(LONG)

    def _manifest_bytes(self, run: str) -> int:
        return self._models[run == LONG].manifest_bytes

    @cached_property
    def _page_bytes(self) -> int:
        return len(dumps({"commits": [it.to_json() for it in self._page(0)]})) if self.pages else 0

    @cached_property
    def _other_head_bytes(self) -> int:
        return len(self._head(_other(self.commits)) or b"") if self.others else 0


class _Model:
    """A manifest and the text of its commit's id, made once by the product's encoders; numbers are put in.

    Encoding each of 10⁶ manifests anew would take far longer than what is measured.
    """

    def __init__(self, run: str) -> None:
        model = _manifest(run, 0, _MODEL, 2 * _MODEL)
        noting = _Noting()
        assert commit_id(model.step, model.tensors, model.meta, noting) == model.commit_id
        self._run, self._manifest, self._logical = run, model.to_bytes(), noting.text
        self.manifest_bytes = len(self._manifest)
        real = _manifest(run, 1, 1, _SHARED)
        assert self.manifest(run, 1) == real.to_bytes()
        assert self.commit_id(1) == real.commit_id

    def manifest(self, run: str, number: int) -> bytes:
        """The manifest of a commit of a run whose name is as long."""
        return self._filled(self._manifest, number).replace(self._run.encode(), run.encode())

    def commit_id(self, number: int) -> str:
        """Its id."""
        return blake3(self._filled(self._logical, number)).hexdigest()[:32]

    def _filled(self, text: bytes, number: int) -> bytes:
        shared = _SHARED + number // _SHARING
        text = text.replace(b"%d" % FIRST_STEP, b"%d" % (FIRST_STEP + number))
        return text.replace(_hex(_MODEL), _hex(number)).replace(_hex(2 * _MODEL), _hex(shared))


class _Noting(Clear):
    """Notes what is hashed last."""

    text = b""

    def digest(self, *parts: Buffer) -> str:
        """See `Identity`."""
        self.text = b"".join(parts)
        return super().digest(*parts)


def _manifest(run: str, number: int, changed: int, frozen: int) -> Manifest:
    """Of one commit; the last two are the numbers of its packs."""
    tensors, locations = {}, {}
    packs = {"changed": changed, "frozen": frozen}
    for name, pack in packs.items():
        chunks = tuple(f"{pack:032x}{it:032x}" for it in range(CHUNKS))
        tensors[name] = StoredTensor("float32", (CHUNKS, _CHUNK // 4), None, chunks)
        for place, chunk in enumerate(chunks):
            locations[chunk] = Location(_name(pack), place * _CHUNK, _CHUNK, "raw")
    return Manifest(
        run=run,
        attempt=_ATTEMPT,
        step=FIRST_STEP + number,
        created=_WRITTEN,
        meta={},
        tensors=tensors,
        locations=locations,
        packs={_name(pack): CHUNKS * _CHUNK for pack in packs.values()},
    )


def _hex(number: int) -> bytes:
    return b"%032x" % number


def _name(number: int) -> str:
    return object_name(0, f"{number:032x}")


def _other(number: int) -> str:
    return f"short-{number:08d}"
