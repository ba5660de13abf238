"""Rank 0's part of a save: it decides which chunks are stored, by whom, and commits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from storage.checkpoints.errors import Damaged, HelperFailed, RankGone
from storage.checkpoints.format.chunks import ChunkId, cut
from storage.checkpoints.format.closure import Chain
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.stored_tensor import INLINE_LIMIT, StoredTensor
from storage.checkpoints.save.draft import Outline, outlined
from storage.checkpoints.save.storing import Stored
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.sharded.group import Group
from storage.checkpoints.sharded.layout import Held, Layout, Told, held_in
from storage.checkpoints.sharded.messages import Hashes, Order, Plan, Report, said
from storage.checkpoints.sharded.owner import Owner
from storage.checkpoints.sharded.shard import Shard
from storage.checkpoints.sharded.share import Place
from storage.checkpoints.together.orders import Answer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Before:
    """The save that the next one may rest on."""

    tensors: Mapping[str, StoredTensor]
    read_bytes: int
    """That a restore of it reads."""
    grown: int
    """The most bytes by which a save since the keyframe has made that grow."""

    @classmethod
    def of(cls, outline: Outline, manifest: Manifest, before: Self | None, read_bytes: int) -> Self:
        """After a save, of which a restore reads so many bytes."""
        own = outline.sizes.keys()
        if before is None or manifest.locations.keys() <= own:  # a keyframe
            return cls(outline.tensors, read_bytes, 0)
        return cls(outline.tensors, read_bytes, max(before.grown, read_bytes - before.read_bytes))

    def chunks(self) -> list[ChunkId]:
        """All that are not inlined."""
        return [chunk for it in self.tensors.values() if it.inline is None for chunk in it.chunks]

    def base(self, tensor: StoredTensor, place: Place) -> ChunkId | None:
        """The chunk that was in a place."""
        name, number = place
        old = self.tensors.get(name)
        if old is None or (old.dtype, old.shape) != (tensor.dtype, tensor.shape):
            return None
        return old.chunks[number]


class Leader:
    """For all saves of a run. The others are sent one plan, any number of orders, and an end."""

    def __init__(self, writer: RunWriter, group: Group, owner: Owner) -> None:
        """`owner` is this rank as one of those who store."""
        self.writer = writer
        self._group, self._owner = group, owner
        self._others = range(1, group.size)
        self._before: _Before | None = None

    def save(
        self,
        shards: Sequence[Shard],
        values: Mapping[str, Any],
        *,
        step: int,
        meta: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        tags: Sequence[str],
        error: Exception | None,
    ) -> Commit:
        """See `ShardedSaver.lead`."""
        try:
            commit = self._save(shards, values, step, meta, tags, error)
        except BaseException as failed:
            end = Plan(error=said(failed) or repr(failed)).to_bytes()
            self._send(dict.fromkeys(self._others, end))
            raise
        finally:
            self._owner.end()
        self._send(dict.fromkeys(self._others, b""))
        return commit

    def _save(
        self,
        shards: Sequence[Shard],
        values: Mapping[str, Any],
        step: int,
        meta: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        tags: Sequence[str],
        error: Exception | None,
    ) -> Commit:
        reports = self._answers(Report.from_bytes)
        if error is not None:
            raise error
        reports[0] = Report(held_in(shards, 0), values)
        for rank, report in reports.items():
            _raise_failure(rank, report.error)
        layout = Layout(_together(reports))
        plans = _plans(layout, self._group.size)
        self._send({rank: plans[rank].to_bytes() for rank in self._others})
        hashes = self._all(lambda: self._owner.begin(shards, plans[0]), Hashes.from_bytes)
        for rank, hashed in hashes.items():
            _raise_failure(rank, hashed.error)
        full = meta({name: it for report in _in_order(reports) for name, it in report.values.items()})
        identity = self.writer.repository.shelf.identity
        outline = outlined(_stored(layout, _in_order(hashes)), full, step, identity)
        return self._land(layout, outline, tags)

    def _land(self, layout: Layout, outline: Outline, tags: Sequence[str]) -> Commit:
        places = _places(outline)
        before = self._before if self._may_rest(outline) else None

        def store(missing: Collection[ChunkId], chains: Mapping[ChunkId, Chain], generation: int) -> Stored:
            bases = (
                [before.base(outline.tensors[places[it][0]], places[it]) for it in missing] if before else []
            )
            near = {base: chains[base] for base in bases if base is not None and base in chains}
            return self._store(layout, [places[it] for it in missing], near, generation)

        def store_alone(
            missing: Collection[ChunkId], chains: Mapping[ChunkId, Chain], generation: int
        ) -> Stored:
            return self._store(layout, [places[it] for it in missing], {}, generation)

        commit, manifest, read_bytes = self.writer.save_outline(
            outline,
            store,
            earlier=() if before is None else before.chunks(),
            store_alone=None if before is None else store_alone,
            tags=tags,
        )
        if manifest is not None:
            self._before = _Before.of(outline, manifest, self._before, read_bytes)
        return commit

    def _may_rest(self, outline: Outline) -> bool:
        """Whether one more save of differences is likely to stay within the policy."""
        before, limit = self._before, self.writer.deltas.read_limit
        return before is not None and before.read_bytes + before.grown * 5 // 4 <= limit * outline.raw_bytes

    def _store(
        self, layout: Layout, places: Sequence[Place], chains: Mapping[ChunkId, Chain], generation: int
    ) -> Stored:
        if not places:
            return Stored({}, {})
        wanted = _by_rank(layout, places, self._group.size)
        orders = [Order(generation, those, chains) for those in wanted]
        self._send({rank: orders[rank].to_bytes() for rank in self._others})
        answers = self._all(lambda: Answer(stored=self._owner.carry_out(orders[0])), Answer.from_bytes)
        locations: dict[ChunkId, Location] = {}
        packs: dict[str, int] = {}
        for rank, answer in answers.items():
            if answer.error and not (answer.mistake or answer.outage):
                raise RuntimeError(f"rank {rank} could not store its share:\n{answer.error}")
            _raise_failure(rank, answer.error)
            locations |= answer.stored.locations
            packs |= answer.stored.packs
        if len(locations) != len(places):
            raise RuntimeError(
                f"ranks have stored {len(locations)} of {len(places)} chunks that were ordered"
            )
        return Stored(locations, packs)

    def _all(self, own: Callable[[], T], parse: Callable[[bytes], T]) -> dict[int, T]:
        """What each rank has come to, by rank. Other ranks' messages are taken, whatever fails here."""
        try:
            mine = own()
        finally:
            found = self._answers(parse)
        return {0: mine, **found}

    def _answers(self, parse: Callable[[bytes], T]) -> dict[int, T]:
        """The next message of each other rank.

        Raises, after those of all who are there are taken, so that none is found there by the next save:
            RankGone.
            HelperFailed: a message is none.
        """
        messages: dict[int, bytes] = {}
        gone: RankGone | None = None
        for rank in self._others:
            try:
                messages[rank] = self._group.receive(rank)
            except RankGone as error:
                gone = error
        if gone is not None:
            raise gone
        found: dict[int, T] = {}
        for rank, message in messages.items():
            try:
                found[rank] = parse(message)
            except (Damaged, ValueError, TypeError) as error:
                raise HelperFailed(f"rank {rank} has sent what is no answer: {error}") from error
        return found

    def _send(self, messages: Mapping[int, bytes]) -> None:
        """One to each of these ranks. Whoever is gone is found to be so when its answer is waited for."""
        for rank, message in messages.items():
            try:
                self._group.send(rank, message)
            except RankGone:
                continue  # the others must get theirs: they wait for nothing else


def _raise_failure(rank: int, error: str) -> None:
    if error:
        raise HelperFailed(f"rank {rank} could not bring its part of the state: {error}")


def _in_order(found: Mapping[int, T]) -> list[T]:
    return [found[rank] for rank in sorted(found)]


def _together(reports: Mapping[int, Report]) -> dict[str, Held]:
    """Raises ValueError: ranks do not mean the same tensor by one name."""
    tensors: dict[str, Held] = {}
    for rank, report in sorted(reports.items()):
        for name, held in report.tensors.items():
            known = tensors.setdefault(name, Held(held.dtype, held.shape))
            if (known.dtype, known.shape) != (held.dtype, held.shape):
                raise ValueError(
                    f"{name!r} is {known.dtype} {list(known.shape)} on one rank, and {held.dtype}"
                    f" {list(held.shape)} on rank {rank}"
                )
            known.boxes += [(rank, box) for _, box in held.boxes]
    return tensors


def _plans(layout: Layout, size: int) -> list[Plan]:
    told: list[dict[str, Told]] = [{} for _ in range(size)]
    for name in layout.tensors:
        for rank, part in layout.part_of(name).items():
            told[rank][name] = part
    return [Plan(it) for it in told]


def _stored(layout: Layout, hashes: Sequence[Hashes]) -> dict[str, StoredTensor]:
    ids = {place: chunk for them in hashes for place, chunk in them.chunks.items()}
    inline = {name: raw for them in hashes for name, raw in them.inline.items()}
    found = {}
    for name, it in layout.tensors.items():
        count = sum(1 for _ in cut(it.dtype, it.shape))
        places = [(name, number) for number in range(count)]
        if lacking := [place for place in places if place not in ids]:
            raise HelperFailed(f"no rank has told the hash of chunk {lacking[0][1]} of tensor {name!r}")
        chunks = tuple(ids[place] for place in places)
        raw = inline.get(name, b"") if it.nbytes <= INLINE_LIMIT else None
        found[name] = StoredTensor(it.dtype, it.shape, None, chunks, raw)
    return found


def _places(outline: Outline) -> dict[ChunkId, Place]:
    """The first place of each chunk."""
    places: dict[ChunkId, Place] = {}
    for name, tensor in outline.tensors.items():
        if tensor.inline is None:
            for number, chunk in enumerate(tensor.chunks):
                places.setdefault(chunk, (name, number))
    return places


def _by_rank(layout: Layout, places: Sequence[Place], size: int) -> list[list[Place]]:
    """For each rank those of the places of which it may hold something."""
    numbers: dict[str, list[int]] = {}
    for name, number in places:
        numbers.setdefault(name, []).append(number)
    wanted: list[dict[Place, None]] = [{} for _ in range(size)]
    for name, those in numbers.items():
        for rank, its in layout.holders_of(name, sorted(those)):
            wanted[rank].update(((name, number), None) for number in its)
    return [list(it) for it in wanted]
