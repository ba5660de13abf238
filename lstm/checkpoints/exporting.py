"""A commit's model in one file of another tool: its weights by the names that the model itself gives them.

So `model.load_state_dict(safetensors.torch.load_file(path))`, or `torch.load(path, weights_only=True)`, is
all that the other side needs. The whole state with its meta is what
`storage.checkpoints.transfer.extracting` writes.
"""

from collections.abc import Collection
from pathlib import Path

import torch

from lstm.checkpoints.tensors import to_torch
from storage.checkpoints.errors import CommitMissing, FileTrouble
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.complete import Complete, read_complete
from storage.checkpoints.restore.reading import read_tensors
from storage.checkpoints.transfer.extracting import Extracted
from storage.checkpoints.transfer.safetensors_file import write_safetensors
from storage.checkpoints.transfer.whole_file import refuse_what_is_there, whole_file

WEIGHTS = ("average/module.", "model/", "state_dict/", "state_dict.", "model.")
"""What the names of a model's weights begin with: a run's averaged ones, which forecasts are made with; its
own; those of Lightning, saved here or imported; those of other programs that save `{"model":
model.state_dict()}`. The first that there are is taken."""
_BESIDE_WEIGHTS = ("optim", "lr_", "sched", "scaler", "rng")
"""With other names beside it, `model.` is a part of a model that calls itself so, as Hugging Face's do."""


def export(
    shelf: Shelf,
    run: str,
    wanted: str,
    path: Path,
    *,
    below: str | None = None,
    replace: bool = False,
    progress: Progress = silent,
) -> tuple[Extracted, str]:
    """Write a model's weights to a new file; of "newest", of the newest commit whose bytes are not damaged.

    Args:
        shelf: the repository.
        run: the run.
        wanted: an id, its first digits, a tag, or "newest".
        path: ends with `.safetensors` (little memory), or `.pt` or `.pth` (holds the weights in memory).
        below: which tensors: those whose names begin so, without it; "" means all. None: as `WEIGHTS` says,
            or all where nothing begins so.
        replace: whether another file may be replaced.
        progress: told how many bytes are written.

    Returns:
        What was written, and what its names began with.

    Raises:
        RunMissing, CommitMissing, Damaged: there is nothing to export.
        FileTrouble, NotSafetensors: it cannot be written.
    """
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise FileTrouble(f"{path.name} says no format; let it end with .safetensors or .pt")
    if not replace:
        refuse_what_is_there(path)

    def write(found: Complete) -> tuple[Extracted, str]:
        commit, manifest = found.commit, found.manifest
        what = f"{run}/{commit.id}"
        prefix = _prefix(manifest.tensors) if below is None else below
        names = {it: it[len(prefix) :] for it in manifest.tensors if it.startswith(prefix) and it != prefix}
        if not names:
            some = ", ".join(sorted(manifest.tensors)[:10])
            raise CommitMissing(f"no tensor of {what} begins with {prefix!r}; it has {some or 'none'}")
        if path.suffix == ".safetensors":
            notes = {"format": "pt", "carousel_commit": commit.id}
            size = write_safetensors(
                shelf.files,
                manifest,
                names,
                path,
                what=what,
                notes=notes,
                replace=replace,
                progress=progress,
            )
        else:
            size = _write_torch_file(shelf, manifest, names, path, what, replace)
        return Extracted(commit, len(names), len(manifest.tensors), size, found.skipped), prefix

    return read_complete(shelf, run, wanted, write)


def _prefix(names: Collection[str]) -> str:
    found = next((it for it in WEIGHTS if any(name.startswith(it) for name in names)), "")
    if found == "model." and any(not name.startswith((found, *_BESIDE_WEIGHTS)) for name in names):
        return ""
    return found


def _write_torch_file(
    shelf: Shelf, manifest: Manifest, names: dict[str, str], path: Path, what: str, replace: bool
) -> int:
    tensors, _ = read_tensors(shelf.files, manifest, names, what)
    size = sum(tensor.nbytes for tensor in tensors.values())
    state = {name: to_torch(tensors.pop(stored)) for stored, name in sorted(names.items())}
    with whole_file(path, replace=replace) as file:
        torch.save(state, file)
    return size
