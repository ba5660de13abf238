"""Commits to and from files of safetensors: a JSON header, then every tensor's bytes, little-endian.

Format: https://huggingface.co/docs/safetensors. Neither way holds all of them in memory.
"""

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from storage.checkpoints.errors import CheckpointError, FileTrouble, TooLarge
from storage.checkpoints.format import canonical
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.store import Below
from storage.checkpoints.format.stored_tensor import StoredTensor
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.decoding import Decoder
from storage.checkpoints.restore.reading import chosen, read_pieces
from storage.checkpoints.tensor import Buffer, Tensor, check_geometry, raw_bytes
from storage.checkpoints.transfer.whole_file import whole_file

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
_BLOCK_ROWS = "carousel_block_rows"
_BLOCKS_LIMIT = 2**20
"""Blocks of a tensor that a header may ask for: each is a chunk at least."""


class NotSafetensors(CheckpointError):
    """A file that is not safetensors or cannot be stored, or a tensor that safetensors cannot hold."""


def write_safetensors(
    files: Below,
    manifest: Manifest,
    names: Mapping[str, str],
    path: Path,
    *,
    what: str,
    notes: Mapping[str, str],
    replace: bool = False,
    progress: Progress = silent,
) -> int:
    """Write tensors of a commit to a new file, as they come: a bounded part of them is in memory at a time.

    Args:
        files: of the repository.
        manifest: of the commit.
        names: which tensors, and how each is called in the file.
        path: where the file appears, once it is whole.
        what: the commit, for messages.
        notes: for the file's header.
        replace: whether it may take the place of another file.
        progress: told how many bytes are written.

    Returns:
        Raw bytes of the tensors.

    Raises:
        NotSafetensors: a dtype that the format lacks (complex128), or too many names for a header.
        FileTrouble: something is there, or it cannot be written.
        CommitMissing, Damaged.
    """
    tensors = chosen(manifest, names, what)
    header: dict[str, Any] = {"__metadata__": dict(notes)}
    begins: dict[str, int] = {}
    end = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise NotSafetensors(
                f"{name!r} is {tensor.dtype}, which safetensors cannot hold; `carousel checkpoints export"
                f' {what} FILE.pt --below ""` writes every tensor to a file of torch.save, or'
                " `carousel checkpoints restore` with --tensor only the others"
            )
        begins[name], end = end, end + tensor.nbytes
        header[names[name]] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begins[name], end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER_LIMIT:
        raise NotSafetensors(f"the header takes {len(text)} bytes, the format allows {_HEADER_LIMIT}")
    data = 8 + len(text)
    with whole_file(path, size=data + end, replace=replace) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        written = 0
        for begin, raw in _parts(files, manifest, tensors, begins, what):
            file.seek(data + begin)
            file.write(raw)
            written += len(raw)
            progress("writing bytes", written, end)
    return end


def _parts(
    files: Below,
    manifest: Manifest,
    tensors: Mapping[str, StoredTensor],
    begins: Mapping[str, int],
    what: str,
) -> Iterator[tuple[int, Buffer]]:
    for name, tensor in tensors.items():
        if tensor.inline is not None:
            yield begins[name], tensor.inline
    decoder = Decoder(files, manifest.locations, manifest.identity)
    for place, raw in read_pieces(decoder, tensors, what):
        yield begins[place.tensor] + place.begin, raw


def notes_of(commit: str, manifest: Manifest) -> dict[str, str]:
    """What a header says of a commit; `open_safetensors` gives back meta, and `block_rows` of the tensors."""
    rows = {name: it.block_rows for name, it in manifest.tensors.items() if it.block_rows is not None}
    notes = {_META: json.dumps(manifest.meta), "carousel_commit": commit}
    return {**notes, _BLOCK_ROWS: json.dumps(rows)} if rows else notes


@contextmanager
def open_safetensors(path: Path) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """The tensors of a file as views of it, and its meta; for `RunWriter.save`, within the `with` block.

    Raises:
        NotSafetensors: it is not well-formed, or has a dtype that a repository lacks.
        FileTrouble: it cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {error.strerror or error}") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(_HEADER_LIMIT, size - 8):
            raise NotSafetensors(f"{path} is not safetensors: {size} bytes with a header of {length}")
        try:
            header = json.loads(file.read(length), object_pairs_hook=_each_once)
            notes = header.pop("__metadata__", {})
            entries = {name: _Entry.of(value) for name, value in header.items()}
            _check_places(entries, size - 8 - length)
            meta = _meta(notes)
            rows = _block_rows(notes, entries)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, TooLarge) as error:
            raise NotSafetensors(f"{path} is not safetensors that can be stored: {error}") from error
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view
        data = memoryview(mapped)[8 + length :]
        yield {name: it.tensor(data, rows.get(name)) for name, it in entries.items()}, meta


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @classmethod
    def of(cls, value: Any) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        if missing := [it for it in ("dtype", "shape", "data_offsets") if it not in value]:
            raise ValueError(f"a tensor's entry has no {' and no '.join(missing)}")
        theirs, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
        numbers = [*shape, begin, end]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"shape {str(shape)[:80]} or its offsets are not whole numbers from 0 on")
        if theirs not in _DTYPES:
            raise ValueError(f"dtype {str(theirs)[:80]!r} is none that a repository holds")
        check_geometry(_DTYPES[theirs], tuple(shape), None)
        if end - begin != raw_bytes(_DTYPES[theirs], tuple(shape)):
            raise ValueError(f"{theirs} of shape {str(shape)[:80]} does not take bytes {begin} to {end}")
        return cls(_DTYPES[theirs], tuple(shape), begin, end)

    def tensor(self, data: memoryview, block_rows: int | None) -> Tensor:
        return Tensor(self.dtype, self.shape, data[self.begin : self.end], block_rows)


def _check_places(entries: Mapping[str, _Entry], size: int) -> None:
    """The format wants each byte to belong to one tensor. Raises ValueError."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda it: (it[1].begin, it[1].end)):
        if entry.begin != at:
            raise ValueError(
                f"tensor {name[:80]!r} begins at byte {entry.begin}, the one before ends at {at}"
            )
        at = entry.end
    if at != size:
        raise ValueError(f"its tensors take {at} bytes, the file has {size}")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _meta(notes: Any) -> dict[str, Any]:
    if not isinstance(notes, dict):
        raise ValueError("its __metadata__ is no object")
    meta = json.loads(notes[_META]) if _META in notes else {"safetensors": notes} if notes else {}
    if not isinstance(meta, dict):
        raise ValueError("its meta is no object")
    canonical.dumps(meta)  # refuses NaN, which no commit holds
    canonical.check_depth(meta, "its meta")
    return meta


def _block_rows(notes: Mapping[str, Any], entries: Mapping[str, _Entry]) -> dict[str, int]:
    """Of the tensors that have them. Raises ValueError, TypeError."""
    told = json.loads(notes.get(_BLOCK_ROWS, "{}"))
    if not isinstance(told, dict):
        raise ValueError("its block_rows are no object")
    found = {}
    for name, rows in told.items():
        if (entry := entries.get(name)) is None:
            continue  # somebody has taken the tensor out
        longest = entry.shape[0] if entry.shape else 0
        if type(rows) is not int or rows < 1 or not entry.shape or longest > rows * _BLOCKS_LIMIT:
            raise ValueError(f"tensor {name[:80]!r} of {longest} rows has blocks of {str(rows)[:40]} rows")
        found[name] = rows
    return found
