"""Restore a commit into a folder of this host: its tensors, or some, and all that is known of it.

    tensors.safetensors   the tensors; its header holds the meta too, so that an import gives the same commit
    commit.json           what the run's head says of the commit, and its meta

The folder appears under its name when all of it is on the disk.
"""

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from storage.checkpoints.errors import CommitMissing, FileTrouble
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.complete import Complete, read_complete
from storage.checkpoints.transfer.safetensors_file import notes_of, write_safetensors
from storage.checkpoints.transfer.whole_file import PARTIAL, beside, sync_folder, whole_file

TENSORS = "tensors.safetensors"
COMMIT = "commit.json"


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was written to files."""

    commit: Commit
    tensors: int
    """How many."""
    of: int
    """How many the commit has."""
    raw_bytes: int
    """Of the tensors."""
    skipped: tuple[str, ...] = ()
    """Plain words about each newer commit that was passed over because it is damaged."""


def extract(
    shelf: Shelf,
    run: str,
    wanted: str,
    folder: Path,
    *,
    globs: Sequence[str] = (),
    replace: bool = False,
    progress: Progress = silent,
) -> Extracted:
    """Write a commit into a new folder; of "newest", the newest one whose bytes are not damaged.

    Args:
        shelf: the repository.
        run: the run.
        wanted: an id, its first digits, a tag, or "newest".
        folder: must not be there, or be empty.
        globs: only tensors whose names match one of these patterns of a shell; only they are read.
        replace: whether an earlier restore may be replaced; never another folder.
        progress: told how many bytes are written.

    Raises:
        RunMissing, CommitMissing, Damaged: there is nothing to restore; also a pattern that nothing matches.
        FileTrouble, NotSafetensors: it cannot be written.
    """

    def write(found: Complete) -> Extracted:
        commit, manifest = found.commit, found.manifest
        what = f"{run}/{commit.id}"
        names = matching(manifest.tensors, globs, what)
        size = write_safetensors(
            shelf.files,
            manifest,
            {name: name for name in names},
            partial / TENSORS,
            what=what,
            notes=notes_of(commit.id, manifest),
            replace=True,  # the folder is ours
            progress=progress,
        )
        with whole_file(partial / COMMIT, replace=True) as file:
            file.write(_described(run, commit, manifest))
        return Extracted(commit, len(names), len(manifest.tensors), size, found.skipped)

    _refuse_others(folder, replace)
    partial = beside(folder, PARTIAL)
    try:
        partial.mkdir()
        result = read_complete(shelf, run, wanted, write)
        _put_in_place(partial, folder)
    except OSError as error:
        raise FileTrouble(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # a failure's; in place, it is not there any more
    return result


def matching(names: Collection[str], globs: Sequence[str], what: str) -> list[str]:
    """Names that match one of the patterns (none given: all). Raises CommitMissing: one matches nothing."""
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            some = ", ".join(sorted(names)[:10])
            raise CommitMissing(f"no tensor of {what} matches {glob!r}; it has {some or 'none'}")
    return sorted(it for it in names if not globs or any(fnmatchcase(it, glob) for glob in globs))


def _described(run: str, commit: Commit, manifest: Manifest) -> bytes:
    said = commit.to_json()
    shown = ("id", "step", "created", "attempt", "metrics", "tags", "raw_bytes")
    value = {"run": run, **{name: said[name] for name in shown}}
    value |= {name: said[name] for name in ("pins", "note") if name in said}
    return (json.dumps({**value, "meta": manifest.meta}, indent=1) + "\n").encode()


def _refuse_others(folder: Path, replace: bool) -> None:
    """Raises FileTrouble: something is there that must not be replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise FileTrouble(f"{folder} is there already and no folder; choose another name")
    others = sorted(it.name for it in folder.iterdir() if it.name not in (TENSORS, COMMIT))
    if others:
        raise FileTrouble(
            f"{folder} holds other things ({', '.join(others[:3])}), which a restore never replaces; name a"
            " new folder"
        )
    if not replace and any(folder.iterdir()):
        raise FileTrouble(f"{folder} holds a restored commit already; --force replaces it")


def _put_in_place(partial: Path, folder: Path) -> None:
    sync_folder(partial)
    try:
        partial.rename(folder)  # also over an empty folder
    except OSError:
        if not folder.is_dir():
            raise
        old = beside(folder, ".old")
        folder.rename(old)
        partial.rename(folder)
        for name in (TENSORS, COMMIT):
            (old / name).unlink(missing_ok=True)
        old.rmdir()  # fails, and is told, if somebody has put something there meanwhile
    sync_folder(folder.parent)
