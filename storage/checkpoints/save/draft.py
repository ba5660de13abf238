"""A state on its way into a repository: cut, hashed, named by its logical content. Nothing is written yet."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from storage.checkpoints.format import canonical
from storage.checkpoints.format.chunks import ChunkId, chunk_ids, cut
from storage.checkpoints.format.identity import CLEAR, Identity
from storage.checkpoints.format.manifest import commit_id
from storage.checkpoints.format.names import COUNT_LIMIT, checked_tensor_name
from storage.checkpoints.format.stored_tensor import INLINE_LIMIT, StoredTensor
from storage.checkpoints.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Outline:
    """What a commit will hold, without the bytes of its chunks: these may be in other processes."""

    id: str
    step: int
    meta: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    sizes: Mapping[ChunkId, int]
    """Raw bytes of every chunk that is not inlined, each once, in the order of tensor names."""

    @property
    def raw_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def outlined(
    tensors: Mapping[str, StoredTensor], meta: Mapping[str, Any], step: int, identity: Identity = CLEAR
) -> Outline:
    """The outline of tensors whose chunks are hashed. Raises as `Draft.of`."""
    step, plain_meta = _checked(step, meta)
    sizes: dict[ChunkId, int] = {}
    named = {name: tensors[checked_tensor_name(name)] for name in sorted(tensors)}
    for tensor in named.values():
        if tensor.inline is None:
            sizes.update(zip(tensor.chunks, cut(tensor.dtype, tensor.shape, tensor.block_rows), strict=True))
    return Outline(commit_id(step, named, plain_meta, identity), step, plain_meta, named, sizes)


@dataclass(frozen=True, slots=True)
class Draft(Outline):
    """What a commit will hold; its chunks are views of the caller's bytes."""

    chunks: Mapping[ChunkId, tuple[str, memoryview]]
    """Dtype and raw bytes of every chunk of `sizes`."""

    @classmethod
    def of(
        cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], step: int, identity: Identity = CLEAR
    ) -> Self:
        """Raises InvalidName, ValueError (meta that JSON cannot hold, a step below 0 or above 2^62)."""
        step, plain_meta = _checked(step, meta)
        stored: dict[str, StoredTensor] = {}
        chunks: dict[ChunkId, tuple[str, memoryview]] = {}
        for name in sorted(tensors):
            tensor = tensors[checked_tensor_name(name)]
            ids = chunk_ids(tensor.dtype, tensor.shape, tensor.block_rows, tensor.data, identity)
            inline = bytes(tensor.data) if tensor.nbytes <= INLINE_LIMIT else None
            if inline is None:
                chunks.update(_views(tensor, ids))
            stored[name] = StoredTensor(tensor.dtype, tensor.shape, tensor.block_rows, tuple(ids), inline)
        sizes = {chunk: len(view) for chunk, (_, view) in chunks.items()}
        return cls(commit_id(step, stored, plain_meta, identity), step, plain_meta, stored, sizes, chunks)


def _checked(step: int, meta: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """The step, and meta as a restore will give it back."""
    step = operator.index(step)
    if not 0 <= step <= COUNT_LIMIT:
        raise ValueError(f"a step is from 0 to 2^62, got {step}")
    return step, canonical.plain_copy(meta, "meta")


def _views(tensor: Tensor, ids: list[ChunkId]) -> dict[ChunkId, tuple[str, memoryview]]:
    data, begin, views = memoryview(tensor.data), 0, {}
    for chunk, size in zip(ids, cut(tensor.dtype, tensor.shape, tensor.block_rows), strict=True):
        views[chunk] = (tensor.dtype, data[begin : begin + size])
        begin += size
    return views
