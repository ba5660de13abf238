"""From what the chunks of a state may be predicted: the state before it, and its own optimiser's moments.

Offers only: the encoder takes the one that stores least, and the manifest says what was taken. The order of
`stages` keeps circles out: a chunk is predicted from the state before, and from chunks of earlier stages.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Self

from storage.checkpoints.codecs import Prediction
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.stored_tensor import StoredTensor
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.save.delta_policy import DeltaPolicy
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.tensor import Buffer


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to predict a chunk, and the ids of the chunks that it rests on."""

    prediction: Prediction
    bases: tuple[ChunkId, ...]


@dataclass(frozen=True, slots=True)
class Previous:
    """The state that a writer saved or restored last."""

    step: int
    tensors: Mapping[str, StoredTensor]
    raw: Mapping[ChunkId, Buffer]
    """Bytes of every chunk that is not inlined: as much memory as the state itself."""
    hints: Mapping[str, AdamHint]
    """By weight; empty after a restore."""
    read_bytes: int
    """That a restore of it reads."""
    grown: int
    """The most bytes by which a save since the keyframe has made that grow."""

    @classmethod
    def of(
        cls,
        draft: Draft,
        hints: tuple[AdamHint, ...],
        manifest: Manifest,
        before: Self | None,
        *,
        reads: int,
        added: int = 0,
    ) -> Self:
        """A copy of what was saved; what did not change since `before` is shared with it.

        Args:
            draft, hints, manifest: of the state.
            before: what it was predicted from, if anything.
            reads: bytes that a restore of it reads.
            added: bytes that its commit has added, where there is no state before to compare with.
        """
        known = {} if before is None else before.raw
        raw = {chunk: known.get(chunk) or bytes(view) for chunk, (_, view) in draft.chunks.items()}
        by_weight = {hint.weight: hint for hint in hints}
        grown = added if before is None else max(before.grown, reads - before.read_bytes)
        if manifest.locations.keys() <= draft.chunks.keys():  # a keyframe
            grown = 0
        return cls(draft.step, draft.tensors, raw, by_weight, reads, grown)

    def allows_deltas(self, policy: DeltaPolicy, raw_bytes: int) -> bool:
        """Whether one more save of differences is likely to stay within the policy, even if it adds more."""
        return self.read_bytes + self.grown * 5 // 4 <= policy.read_limit * raw_bytes


class _Role(Enum):
    WEIGHT = auto()
    FIRST = auto()
    SECOND = auto()
    OTHER = auto()


class Predictor:
    """What is offered for each chunk of one state."""

    def __init__(self, draft: Draft, hints: tuple[AdamHint, ...], previous: Previous | None) -> None:
        self._draft, self._hints, self._previous = draft, hints, previous
        self._roles: dict[str, tuple[_Role, AdamHint]] = {}
        for hint in hints:
            self._roles[hint.weight] = _Role.WEIGHT, hint
            self._roles[hint.first_moment] = _Role.FIRST, hint
            self._roles[hint.second_moment] = _Role.SECOND, hint
        self._places = dict(_places(draft))

    @property
    def step_before(self) -> int | None:
        """Of the state before, if chunks may be predicted from one."""
        return None if self._previous is None else self._previous.step

    def alone(self) -> "Predictor":
        """One that offers nothing of the state before."""
        return Predictor(self._draft, self._hints, None)

    def earlier(self) -> Collection[ChunkId]:
        """Chunks of the state before, which others may be predicted from."""
        return () if self._previous is None else self._previous.raw.keys()

    def stages(self) -> list[list[ChunkId]]:
        """All chunks of the state; each stage is predicted from earlier ones only."""
        stages: list[list[ChunkId]] = [[], [], []]
        for chunk in self._draft.chunks:
            role, hint = self._role(chunk)
            if role is _Role.WEIGHT:
                stages[2].append(chunk)
            elif hint is not None and role is self._second_of_two(hint):
                stages[1].append(chunk)
            else:
                stages[0].append(chunk)
        return stages

    def offers(self, chunk: ChunkId) -> Iterator[Offer]:
        """How a chunk may be predicted. Whether its bases may be used at all, the caller must know."""
        role, hint = self._role(chunk)
        base = self._before(chunk)
        if base is not None:
            yield self._offer("difference", (base,))
        if hint is None:
            return
        steps = self._steps(hint)
        match role:
            case _Role.FIRST if steps != 1:
                if (second := self._beside(chunk, hint.second_moment)) is not None:
                    yield self._offer("split-by", (second,))
            case _Role.SECOND if steps is not None and base is not None:
                before = self._before_of(hint.first_moment, chunk)
                first = self._beside(chunk, hint.first_moment)
                if steps == 1 and before is not None and first is not None:
                    for beta1, beta2 in dict.fromkeys((it.beta1, it.beta2) for it in self._settings(hint)):
                        betas = (beta1, 1 - beta1, beta2, 1 - beta2)
                        if all(map(math.isfinite, betas)):
                            yield self._offer("second-moment", (base, before, first), betas)
                elif steps > 1 and before is not None:
                    decay = _computed(lambda: (hint.beta2**steps,))
                    if decay is not None:
                        yield self._offer("second-moment-decayed", (base, before), decay)
            case _Role.WEIGHT if steps is not None and base is not None:
                moments = [self._beside(chunk, name) for name in (hint.first_moment, hint.second_moment)]
                if None not in moments:
                    bases = (base, *(it for it in moments if it is not None))
                    settings = self._settings(hint) if steps == 1 else [hint]
                    tried = [_computed(partial(_adam_scalars, it, steps)) for it in settings]
                    for scalars in dict.fromkeys(it for it in tried if it is not None):
                        yield self._offer("adam", bases, scalars)

    def _offer(self, codec: str, bases: tuple[ChunkId, ...], scalars: tuple[float, ...] = ()) -> Offer:
        return Offer(Prediction(codec, tuple(self._bytes(it) for it in bases), scalars), bases)

    def _bytes(self, chunk: ChunkId) -> memoryview:
        if chunk in self._draft.chunks:
            return self._draft.chunks[chunk][1]
        assert self._previous is not None
        return memoryview(self._previous.raw[chunk])

    def _role(self, chunk: ChunkId) -> tuple[_Role, AdamHint | None]:
        name, _ = self._places[chunk]
        return self._roles.get(name, (_Role.OTHER, None))

    def _second_of_two(self, hint: AdamHint) -> _Role:
        """Of the moments, that which is predicted from the other one."""
        return _Role.SECOND if self._steps(hint) == 1 else _Role.FIRST

    def _steps(self, hint: AdamHint) -> int | None:
        """Updates since the state before; None: not known, or none."""
        if self._previous is None:
            return None
        known = self._previous.hints.get(hint.weight)
        steps = self._draft.step - self._previous.step if known is None else hint.step - known.step
        return steps if steps > 0 else None

    def _settings(self, hint: AdamHint) -> list[AdamHint]:
        """With what the one step since the state before may have been made.

        A schedule of learning rates or betas mostly moves on between the step and the save: then it was made
        with what was told with the state before.
        """
        known = None if self._previous is None else self._previous.hints.get(hint.weight)
        return [hint] if known is None else [hint, replace(known, step=hint.step)]

    def _before(self, chunk: ChunkId) -> ChunkId | None:
        """The chunk that was in this one's place."""
        name, _ = self._places[chunk]
        return self._before_of(name, chunk)

    def _before_of(self, name: str, chunk: ChunkId) -> ChunkId | None:
        """The chunk of tensor `name` that was in the place that corresponds to this one's."""
        if self._previous is None:
            return None
        return self._like(self._previous.tensors.get(name), chunk)

    def _beside(self, chunk: ChunkId, name: str) -> ChunkId | None:
        """The chunk of tensor `name` of the same state in the corresponding place."""
        return self._like(self._draft.tensors.get(name), chunk)

    def _like(self, tensor: StoredTensor | None, chunk: ChunkId) -> ChunkId | None:
        name, number = self._places[chunk]
        own = self._draft.tensors[name]
        if tensor is None or tensor.inline is not None or tensor.chunks[number : number + 1] == (chunk,):
            return None
        if (tensor.dtype, tensor.shape, tensor.block_rows) != (own.dtype, own.shape, own.block_rows):
            return None
        return tensor.chunks[number]


def _places(draft: Draft) -> Iterator[tuple[ChunkId, tuple[str, int]]]:
    """The first place of each chunk: its tensor, and which of that one's chunks it is."""
    seen: set[ChunkId] = set()
    for name, tensor in draft.tensors.items():
        if tensor.inline is None:
            for number, chunk in enumerate(tensor.chunks):
                if chunk not in seen:
                    seen.add(chunk)
                    yield chunk, (name, number)


def _computed(scalars: Callable[[], tuple[float, ...]]) -> tuple[float, ...] | None:
    """What a hint comes to; None: it is no Adam's, and offers nothing. A wrong hint costs bytes only."""
    try:
        numbers = scalars()
    except (ArithmeticError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _adam_scalars(hint: AdamHint, steps: int) -> tuple[float, float, float, float]:
    """Of the codec `adam`: exact for one step; over more, older updates are guessed from the average."""
    kept = 1 - hint.learning_rate * hint.weight_decay
    step_size = hint.learning_rate / (1 - hint.beta1**hint.step)
    correction = math.sqrt(1 - hint.beta2**hint.step)
    lasting = (1 - hint.beta1**steps) / (1 - hint.beta1) if steps > 1 else 1.0
    return kept**steps, step_size * lasting, correction, hint.epsilon
