"""What torch.distributed.checkpoint must know of a checkpoint, as JSON in a commit's meta: no pickle."""

import os
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    STORAGE_TYPES,
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)

from lstm.checkpoints.values import from_json, to_json
from storage.checkpoints.errors import InvalidName
from storage.checkpoints.format.names import checked_tags

_KEY = "torch.distributed.checkpoint"


def to_meta(metadata: Metadata, values: dict[str, Any]) -> dict[str, Any]:
    """The meta of a commit.

    Args:
        metadata: as the planner made it; its chunks are left out, since tensors are stored whole.
        values: what the state holds beside tensors, as of `lstm.checkpoints.values.to_json`.
    """
    paths = metadata.planner_data or {}
    named = {name: to_json(name, tuple(path)) for name, path in paths.items()}
    return {_KEY: {"values": values, "paths": named}}


def of_commit(meta: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...]]]) -> Metadata:
    """The metadata of a commit: every tensor is one chunk.

    Args:
        meta: the commit's.
        tensors: dtype and shape by name; those of commits that this module did not write are fine.
    """
    ours = meta.get(_KEY, {"values": {}, "paths": {name: to_json(name, (name,)) for name in tensors}})
    state: dict[str, STORAGE_TYPES] = {name: _whole(*geometry) for name, geometry in tensors.items()}
    state |= {name: BytesStorageMetadata() for name in ours["values"]}
    return Metadata(state, planner_data={name: from_json(path) for name, path in ours["paths"].items()})


def value_of(meta: dict[str, Any], name: str) -> object:
    """A value beside the tensors. Raises KeyError, ValueError."""
    return from_json(meta[_KEY]["values"][name])


def is_tag(checkpoint_id: str | os.PathLike[str]) -> bool:
    """Whether a commit can be tagged so."""
    try:
        checked_tags((os.fspath(checkpoint_id),))
    except InvalidName:
        return False
    return True


def _whole(dtype: str, shape: tuple[int, ...]) -> TensorStorageMetadata:
    size = torch.Size(shape)
    chunk = ChunkStorageMetadata(offsets=torch.Size([0] * len(shape)), sizes=size)
    return TensorStorageMetadata(TensorProperties(dtype=getattr(torch, dtype)), size, [chunk])
