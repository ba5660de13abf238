"""Peers that keep a folder: PyTorch's distributed checkpoint with its zstd extension, and two backup tools.

Restic's manual recommends nothing for such data: its defaults (compression auto); borg's: `--compression
zstd`, chunker defaults. Both see the raw tensors as one file per state, under the same name each time.
"""

import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

from torch.distributed.checkpoint._extension import ZStandard
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save

from benchmarks.trails import Save
from lstm.checkpoints.tensors import to_torch


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Distributed:
    """`FileSystemWriter` with its zstd extension; one folder per state."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()

    def save(self, state: Save) -> None:
        """Store one more."""
        path = Path(self._folder.name) / str(state.step)
        writer = FileSystemWriter(path, _extensions=[ZStandard()])
        tensors = {name: to_torch(tensor) for name, tensor in state.tensors.items()}
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # that one process saves
            save(tensors, storage_writer=writer, no_dist=True)

    def close(self) -> int:
        """Bytes of all."""
        with self._folder:
            return size_of(Path(self._folder.name))


class Backup:
    """A backup tool; each state is one backup of one file."""

    def __init__(self, init: list[str], backup: list[str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._root = Path(self._folder.name)
        self._backup = backup
        (self._root / "data").mkdir()
        self._run(init)

    def save(self, state: Save) -> None:
        """Store one more."""
        with (self._root / "data" / "state").open("wb") as file:
            for tensor in state.tensors.values():
                file.write(tensor.data)
        self._run([part.format(step=state.step) for part in self._backup])

    def close(self) -> int:
        """Bytes of its repository."""
        with self._folder:
            return size_of(self._root / "repository")

    def _run(self, command: list[str]) -> None:
        secret = "benchmark"
        env = {
            **os.environ,
            "HOME": str(self._root),
            "RESTIC_PASSWORD": secret,
            "RESTIC_REPOSITORY": "repository",
            "BORG_REPO": "repository",
            "BORG_PASSPHRASE": secret,
        }
        subprocess.run(command, cwd=self._root, env=env, check=True, capture_output=True)


def restic() -> Backup:
    """Restic, compressing (repository version 2)."""
    return Backup(["restic", "init", "--repository-version", "2"], ["restic", "backup", "-q", "data"])


def borg() -> Backup:
    """Borg with zstd."""
    return Backup(
        ["borg", "init", "--encryption=none", "repository"],
        ["borg", "create", "--compression", "zstd", "repository::{step}", "data"],
    )


def is_there(command: str) -> bool:
    """Whether a program is installed."""
    return shutil.which(command) is not None
