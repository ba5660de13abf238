"""One state in a local file: what a save is about, its tensors' bytes, and hashes of both.

    "CAROUSEL SPOOL 1"   16 bytes
    header's length      8 bytes, little-endian
    BLAKE3 of the header 32 bytes
    header               canonical JSON, then zeros up to a multiple of 64
    tensors              one after the other, each from a multiple of 64 on

The header tells each tensor's dtype, shape, place (from the end of the header on) and BLAKE3. Nothing is
unpickled; whatever is not as it was written is `Damaged`. The file is its owner's alone (mode 0600), and
appears under its name only when all of it is on the disk.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from storage.checkpoints.errors import Damaged, InvalidName, TooLarge
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.names import checked_tags, checked_tensor_name, checked_word
from storage.checkpoints.tensor import Tensor, check_geometry, raw_bytes

PARTIAL = ".partial"
"""Suffix of a file that is being written."""

_MAGIC = b"CAROUSEL SPOOL 1"
_FIXED = struct.Struct("<16sQ32s")
HEADER_LIMIT = 64 * 2**20
"""Bytes of a header that a reader accepts, so a writer must not write more."""
_ALIGNED = 64
_FIELDS = ("attempt", "meta", "metrics", "parent", "run", "step", "tags", "tensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpooledState:
    """What one save would have committed."""

    run: str
    attempt: str
    """The trainer whose state it is."""
    parent: str | None
    """Id of the newest commit when it was written: what its run had durable."""
    step: int
    meta: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: tuple[str, ...]
    tensors: Mapping[str, Tensor]


def write(path: Path, state: SpooledState, header: bytes) -> None:
    """Make a state durable as `path`; `header` is `header_of(state)`. Raises OSError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in _parts(state, header):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def header_of(state: SpooledState) -> bytes:
    """All of a state but its tensors' bytes. Raises ValueError: meta that JSON cannot hold."""
    tensors, begin = {}, 0
    for name, tensor in state.tensors.items():
        tensors[name] = {
            "at": begin,
            "blake3": blake3(tensor.data).hexdigest(),
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            **({} if tensor.block_rows is None else {"block_rows": tensor.block_rows}),
        }
        begin += _aligned(tensor.nbytes)
    return canonical.dumps(
        {
            "attempt": state.attempt,
            "meta": state.meta,
            "metrics": {name: float(value).hex() for name, value in state.metrics.items()},
            "parent": state.parent,
            "run": state.run,
            "step": state.step,
            "tags": list(state.tags),
            "tensors": tensors,
        }
    )


def size_of(state: SpooledState, header: bytes) -> int:
    """Bytes of the file."""
    tensors = sum(_aligned(tensor.nbytes) for tensor in state.tensors.values())
    return _aligned(_FIXED.size + len(header)) + tensors


def read(path: Path) -> SpooledState:
    """The state of a file, every byte of it checked; its tensors are views of the mapped file.

    Raises:
        Damaged: it is not what was written.
        OSError: it cannot be read; FileNotFoundError where it is gone.
    """
    what = f"spool file {path.name}"
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _FIXED.size:
            raise Damaged(f"{what} is cut short")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, length, digest = _FIXED.unpack(data[: _FIXED.size])
    if magic != _MAGIC or length > min(HEADER_LIMIT, len(data) - _FIXED.size):
        raise Damaged(f"{what} is no spool file of this version, or cut short")
    header = bytes(data[_FIXED.size : _FIXED.size + length])
    if blake3(header).digest() != digest:
        raise Damaged(f"{what}: its header is not what was written")
    return _parsed(header, data[_aligned(_FIXED.size + length) :], what)


def _parsed(header: bytes, body: memoryview, what: str) -> SpooledState:
    got = fields.Fields(canonical.loads(header, what), what, _FIELDS)
    parent = None if got.value["parent"] is None else got.text("parent")
    try:
        return SpooledState(
            run=checked_word(got.text("run"), "run"),
            attempt=checked_word(got.text("attempt"), "attempt"),
            parent=parent,
            step=got.count("step"),
            meta=got.mapping("meta"),
            metrics={
                name: float.fromhex(fields.text(value, what))
                for name, value in got.mapping("metrics").items()
            },
            tags=checked_tags([fields.text(tag, what) for tag in got.items("tags")]),
            tensors={
                name: _tensor(name, value, body, f"{what}: tensor {name[:60]!r}")
                for name, value in got.mapping("tensors").items()
            },
        )
    except (InvalidName, TooLarge, ValueError) as error:
        raise Damaged(f"{what}: {error}") from error


def _tensor(name: str, value: Any, body: memoryview, what: str) -> Tensor:
    got = fields.Fields(value, what, ("at", "blake3", "dtype", "shape"), ("block_rows",))
    checked_tensor_name(name)
    dtype = got.text("dtype")
    shape = tuple(fields.count(length, what) for length in got.items("shape"))
    block_rows = got.count("block_rows") if "block_rows" in value else None
    check_geometry(dtype, shape, block_rows)
    begin = got.count("at")
    data = body[begin : begin + raw_bytes(dtype, shape)]
    if len(data) != raw_bytes(dtype, shape) or blake3(data).hexdigest() != got.text("blake3"):
        raise Damaged(f"{what}: its bytes are not what was written")
    return Tensor(dtype, shape, data, block_rows)


def _parts(state: SpooledState, header: bytes) -> Iterator[bytes | memoryview]:
    yield _FIXED.pack(_MAGIC, len(header), blake3(header).digest())
    yield header
    yield bytes(_aligned(_FIXED.size + len(header)) - _FIXED.size - len(header))
    for tensor in state.tensors.values():
        yield memoryview(tensor.data)
        yield bytes(_aligned(tensor.nbytes) - tensor.nbytes)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _sync_folder(folder: Path) -> None:
    """Only then is a new name on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
