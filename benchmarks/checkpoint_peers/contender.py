"""One way to save and restore a state, in a process of its own: with its own packages and connections.

    python -m benchmarks.checkpoint_peers.contender NAME FOLDER ENDPOINT BUCKET PREFIX

Keys come in the environment. `save N` on standard input stores the state FOLDER/N.pt and answers with the
seconds from the call until it is in the bucket; `load N` answers with those until all of it is in memory.
Reading the state's file is not counted.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.checkpoint_peers.setup import FSSPEC_FOLDER, importable

Tensors = dict[str, torch.Tensor]


class Contender(Protocol):
    """Saves states by number, and gives them back."""

    def save(self, number: int, tensors: Tensors) -> None:
        """Return when the state is in the bucket."""

    def load(self, number: int, like: Tensors) -> Tensors:
        """All of a state; `like` has its shapes, and may be written to."""


class Ours:
    """This project's repository, with its defaults."""

    def __init__(self, endpoint: str, bucket: str, prefix: str, folder: Path) -> None:
        from storage.checkpoints import Repository, RunWriter
        from storage.objects import Access, Bucket

        access = Access(
            endpoint_url=endpoint,
            access_key=os.environ["AWS_ACCESS_KEY_ID"],
            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        )
        self._folder = folder
        self._repository = Repository.create(Bucket(bucket, access), prefix)
        self._writer = RunWriter.create(self._repository, "run", "attempt")
        self._ids: dict[int, str] = {}

    def save(self, number: int, tensors: Tensors) -> None:
        """See `Contender`."""
        from lstm.checkpoints.tensors import from_torch
        from storage.checkpoints import AdamHint

        hints = tuple(AdamHint(**it) for it in json.loads((self._folder / f"{number}.json").read_text()))
        plain = {name: from_torch(tensor) for name, tensor in tensors.items()}
        self._ids[number] = self._writer.save(plain, {}, step=number, hints=hints).id

    def load(self, number: int, like: Tensors) -> Tensors:
        """See `Contender`."""
        from lstm.checkpoints.tensors import taken

        restored = self._repository.restore("run", self._ids[number])
        return {name: taken(tensor) for name, tensor in restored.tensors.items()}


class Fsspec:
    """PyTorch's distributed checkpoint through fsspec and s3fs."""

    def __init__(self, endpoint: str, bucket: str, prefix: str, folder: Path) -> None:
        sys.path.insert(0, str(FSSPEC_FOLDER))  # before ours: it wants a botocore of its own
        self._root = f"s3://{bucket}/{prefix}"
        self._settings: dict[str, Any] = {"endpoint_url": endpoint}

    def save(self, number: int, tensors: Tensors) -> None:
        """See `Contender`."""
        from torch.distributed.checkpoint._fsspec_filesystem import FsspecWriter
        from torch.distributed.checkpoint.state_dict_saver import save

        writer = FsspecWriter(f"{self._root}/{number}", sync_files=False, **self._settings)
        save(tensors, storage_writer=writer, no_dist=True)

    def load(self, number: int, like: Tensors) -> Tensors:
        """See `Contender`."""
        from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader
        from torch.distributed.checkpoint.state_dict_loader import load

        load(like, storage_reader=FsspecReader(f"{self._root}/{number}", **self._settings), no_dist=True)
        return like


class Connector:
    """`torch.save` through AWS's connector."""

    def __init__(self, endpoint: str, bucket: str, prefix: str, folder: Path) -> None:
        importable()
        from s3torchconnector import S3Checkpoint, S3ClientConfig  # type: ignore[import-not-found]

        self._root = f"s3://{bucket}/{prefix}"
        self._checkpoint: Any = S3Checkpoint(
            "us-east-1", endpoint=endpoint, s3client_config=S3ClientConfig(force_path_style=True)
        )

    def save(self, number: int, tensors: Tensors) -> None:
        """See `Contender`."""
        with self._checkpoint.writer(f"{self._root}/{number}.pt") as writer:
            torch.save(tensors, writer)

    def load(self, number: int, like: Tensors) -> Tensors:
        """See `Contender`."""
        with self._checkpoint.reader(f"{self._root}/{number}.pt") as reader:
            loaded: Tensors = torch.load(reader, weights_only=True)
        return loaded


CONTENDERS: dict[str, Callable[[str, str, str, Path], Contender]] = {
    "carousel": Ours,
    "dcp through fsspec": Fsspec,
    "s3torchconnector": Connector,
}


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")  # that one process saves alone
    name, folder, endpoint, bucket, prefix = sys.argv[1:]
    contender = CONTENDERS[name](endpoint, bucket, prefix, Path(folder))
    for line in sys.stdin:
        verb, number = line.split()
        tensors: Tensors = torch.load(Path(folder) / f"{number}.pt", weights_only=True)
        if verb == "save":
            began = time.perf_counter()
            contender.save(int(number), tensors)
            took = time.perf_counter() - began
        else:
            like = {name: torch.empty_like(tensor) for name, tensor in tensors.items()}
            began = time.perf_counter()
            loaded = contender.load(int(number), like)
            took = time.perf_counter() - began
            assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
        print(took, flush=True)


if __name__ == "__main__":
    main()
