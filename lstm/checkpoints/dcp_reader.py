"""`torch.distributed.checkpoint` loads from a repository, into any world size and sharding.

A rank reads the rows that its shards lie in, and no others. Nothing from the bucket is unpickled: a
value beside tensors is JSON there, and is handed to the planner in the form of `torch.save` that planners
take.
"""

import io
import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex, StorageMeta
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.storage import StorageReader
from torch.futures import Future

from lstm.checkpoints.dcp_metadata import is_tag, of_commit, value_of
from lstm.checkpoints.tensors import to_torch
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore.choosing import NEWEST, Restored
from storage.checkpoints.restore.rows import Rows

_T = TypeVar("_T")

AT_ONCE = 256 * 2**20
"""Bytes of rows that a rank holds beside its state, or an eighth of all that it reads, if that is more: each
batch asks for the head and the manifest again."""


class CarouselReader(StorageReader):
    """For `dcp.load`. `DefaultLoadPlanner(allow_partial_load=True)` leaves keys that the commit lacks."""

    def __init__(
        self,
        repository: Repository,
        run: str,
        commit: str = NEWEST,
        *,
        rename: Mapping[str, str] | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            repository: where from.
            run: its name.
            commit: an id, its first digits, a tag, or "newest"; `checkpoint_id` of `dcp.load` replaces it.
            rename: name in the checkpoint -> name in the state that is loaded; others keep theirs; one whose
                name another takes is not loaded.

        Raises:
            ValueError: two names of the checkpoint become one.
        """
        self.repository, self.run, self.wanted = repository, run, commit
        self._new_names = dict(rename or {})
        self._old_names = {new: old for old, new in self._new_names.items()}
        for old, new in self._new_names.items():
            if self._old_names[new] != old:
                raise ValueError(
                    f"rename: {old!r} and {self._old_names[new]!r} would both be {new!r}; give each a name of"
                    " its own"
                )
        self._found: Restored | None = None
        self._load_id = ""
        self.read_bytes = 0
        """Of packs, fetched by this rank in the last load."""

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a load."""
        if checkpoint_id is not None:
            self.wanted = os.fspath(checkpoint_id)
        self._found, self._load_id = None, uuid.uuid4().hex

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """What the commit holds.

        Raises:
            RunMissing, CommitMissing, Damaged.
            ValueError: a name that shall be renamed is not in the commit.
        """
        found = self._find(self.wanted)
        if found.manifest is None:
            raise AssertionError("a commit that was restored has a manifest")
        stored = {name: (it.dtype, it.shape) for name, it in found.manifest.tensors.items()}
        read = of_commit(found.meta, stored)
        self._refuse_unknown(read.state_dict_metadata)
        named = self._renamed(read.state_dict_metadata)
        paths = self._renamed(read.planner_data)
        meta = StorageMeta(checkpoint_id=self.wanted, load_id=self._load_id)
        # all ranks read the commit that the coordinator has found, not each the newest of its moment
        return replace(
            read,
            state_dict_metadata=named,
            planner_data=paths,
            storage_data=found.commit.id,
            storage_meta=meta,
        )

    def set_up_storage_reader(
        self,
        metadata: Metadata,
        is_coordinator: bool,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Settle which commit is read."""
        if self._found is None or self._found.commit.id != metadata.storage_data:
            self._find(metadata.storage_data)

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """As they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Fill what the plan asks for. Raises Damaged, CommitMissing."""
        found = self._found
        if found is None:
            raise AssertionError("a load begins with its metadata")
        wanted = []
        for item in plan.items:
            if item.type == LoadItemType.BYTE_IO:
                value = value_of(found.meta, self._old(item.storage_index))
                planner.load_bytes(item, _in_torchs_form(value))
            else:
                wanted.append((item, self._rows(item), self._bytes_of(item)))
        self.read_bytes = 0
        limit = max(AT_ONCE, sum(size for *_, size in wanted) // 8)
        for batch in _batches(wanted, limit):
            rows = [it for _, it in batch]
            tensors, read_bytes = self.repository.restore_rows(self.run, found.commit.id, rows)
            self.read_bytes += read_bytes
            for at, (item, _) in enumerate(batch):
                self._fill(planner, item, to_torch(tensors[at]))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it can be a commit's id, a tag, or "newest". In which repository, only a reader says."""
        return checkpoint_id == NEWEST or is_tag(checkpoint_id)

    def _find(self, commit: str) -> Restored:
        self._found = self.repository.restore(self.run, commit, names=())
        return self._found

    def _fill(self, planner: LoadPlanner, item: ReadItem, part: torch.Tensor) -> None:
        for axis, (begin, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
            if axis:  # only these rows were read
                part = part.narrow(axis, begin, length)
        target = planner.resolve_tensor(item).detach()
        if target.shape != part.shape:
            raise ValueError(
                f"{self._old(item.storage_index)!r}: the state's part has shape {list(target.shape)}, the"
                f" checkpoint's {list(part.shape)}"
            )
        target.copy_(part)
        planner.commit_tensor(item, target)

    def _bytes_of(self, item: ReadItem) -> int:
        """Of the rows that are read for it."""
        assert self._found is not None
        assert self._found.manifest is not None
        stored = self._found.manifest.tensors[self._old(item.storage_index)]
        return stored.nbytes // max(1, stored.shape[0]) * item.lengths[0] if stored.shape else stored.nbytes

    def _rows(self, item: ReadItem) -> Rows:
        name = self._old(item.storage_index)
        if not item.lengths:
            return Rows(name)
        begin = item.storage_offsets[0]
        return Rows(name, begin, begin + item.lengths[0])

    def _refuse_unknown(self, stored: Collection[str]) -> None:
        """A name that is not there would be passed over without a word."""
        unknown = [old for old in self._new_names if old not in stored]
        if unknown:
            known = sorted(stored)
            some = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
            raise ValueError(
                f"rename: the commit has no {', no '.join(map(repr, unknown[:5]))};"
                f" it has {some or 'nothing'}"
            )

    def _renamed(self, stored: Mapping[str, _T]) -> dict[str, _T]:
        """By the state's names; who is renamed to a name that is stored takes its place."""
        return {
            self._new_names.get(name, name): it
            for name, it in stored.items()
            if name in self._new_names or name not in self._old_names
        }

    def _old(self, index: MetadataIndex) -> str:
        return self._old_names.get(index.fqn, index.fqn)


def _batches(
    wanted: Sequence[tuple[ReadItem, Rows, int]], limit: int
) -> Iterator[list[tuple[ReadItem, Rows]]]:
    """In order, each of at most `limit` bytes, or of one item."""
    batch: list[tuple[ReadItem, Rows]] = []
    filled = 0
    for item, rows, size in wanted:
        if batch and filled + size > limit:
            yield batch
            batch, filled = [], 0
        batch.append((item, rows))
        filled += size
    if batch:
        yield batch


def _in_torchs_form(value: object) -> io.BytesIO:
    form = io.BytesIO()
    torch.save(value, form)
    form.seek(0)
    return form
