"""Commits to and from files of safetensors: a JSON header, then every tensor's bytes, little-endian.

Format: https://huggingface.co/docs/safetensors. Exports hold one tensor at a time; imports map the file.
"""

import json
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.checkpoints.errors import CheckpointError
from storage.checkpoints.head import Commit
from storage.checkpoints.repository import Repository
from storage.checkpoints.tensor import Tensor, raw_bytes

_NAMES = {
    "bool": "BOOL",
    "int8": "I8",
    "uint8": "U8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int16": "I16",
    "uint16": "U16",
    "float16": "F16",
    "bfloat16": "BF16",
    "int32": "I32",
    "uint32": "U32",
    "float32": "F32",
    "int64": "I64",
    "uint64": "U64",
    "float64": "F64",
    "complex64": "C64",
}
_DTYPES = {theirs: ours for ours, theirs in _NAMES.items()}
_HEADER_LIMIT = 100_000_000
"""Bytes; the limit of the safetensors library."""
_META = "carousel_meta"


class NotSafetensors(CheckpointError):
    """A file that is not safetensors or cannot be stored, or a tensor that safetensors cannot hold."""


def export_safetensors(repository: Repository, run: str, commit: str, path: Path) -> Commit:
    """Write a commit's tensors to a new file, one at a time; its meta goes into the header as JSON.

    Args:
        repository: where from.
        run: the run.
        commit: an id, its first digits, a tag, or "newest".
        path: must not be there yet.

    Raises:
        NotSafetensors: a dtype that the format lacks (complex128).
        FileExistsError: nothing is overwritten.
    """
    found = repository.restore(run, commit, names=())
    if found.manifest is None:
        raise AssertionError("a commit that was restored has a manifest")
    stored, header, end = found.manifest.tensors, dict[str, Any](), 0
    header["__metadata__"] = {_META: json.dumps(found.meta), "carousel_commit": found.commit.id}
    names = sorted(stored)
    for name in names:
        tensor = stored[name]
        if tensor.dtype not in _NAMES:
            raise NotSafetensors(
                f"{name!r} is {tensor.dtype}, which safetensors cannot hold; convert it first"
            )
        begin, end = end, end + raw_bytes(tensor.dtype, tensor.shape)
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        try:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                file.write(repository.restore(run, found.commit.id, names=[name]).tensors[name].data)
        except BaseException:
            path.unlink()
            raise
    return found.commit


@contextmanager
def open_safetensors(path: Path) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """The tensors of a file as views of it, and its meta; for `RunWriter.save`, within the `with` block.

    Raises:
        NotSafetensors: it is not well-formed, or has a dtype that a repository lacks.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(_HEADER_LIMIT, size - 8):
            raise NotSafetensors(f"{path} is not safetensors: {size} bytes with a header of {length}")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise NotSafetensors(f"{path} is not safetensors: its header is not JSON") from error
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view
        data = memoryview(mapped)[8 + length :]
        try:
            notes = header.pop("__metadata__", {})
            tensors = {name: _tensor(entry, data) for name, entry in header.items()}
            meta = json.loads(notes[_META]) if _META in notes else {"safetensors": notes} if notes else {}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotSafetensors(f"{path} has an entry that cannot be read: {error}") from error
        yield tensors, meta


def _tensor(entry: dict[str, Any], data: memoryview) -> Tensor:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"offsets {begin} to {end} of {len(data)} bytes")
    return Tensor(_DTYPES[entry["dtype"]], tuple(entry["shape"]), data[begin:end])
