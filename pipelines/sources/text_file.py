"""Text files as streams of bytes: unpacked if they are packed, whatever their name says."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from storage.errors import UserError

_MARKS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_LONGEST = 4


@contextmanager
def opened(path: Path, name: str) -> Iterator[pa.NativeFile]:
    """The file's unpacked bytes. What is wrong with them is told in words.

    Raises:
        UserError: it cannot be read, or it is packed and its end is missing.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_LONGEST)
        packing = next((it for mark, it in _MARKS.items() if start.startswith(mark)), None)
        with pa.OSFile(str(path)) as raw:
            if packing is None:
                yield raw
            else:
                with pa.CompressedInputStream(raw, packing) as stream:
                    yield stream
    except OSError as error:
        if "runcated" in str(error):
            raise UserError(f"{name} is cut short: its compressed data end early; fetch it again") from error
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from error


@contextmanager
def lines_of(path: Path, name: str, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file's text; line ends are kept, bytes that are no text are replaced."""
    with opened(path, name) as stream:
        kind = "utf-8-sig" if is_utf8(encoding) else encoding
        with io.TextIOWrapper(stream, encoding=kind, errors="replace", newline="") as text:
            yield text


def is_utf8(encoding: str) -> bool:
    """Whether it is UTF-8 by any of its names."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that nobody knows."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise UserError(
            f"--encoding {encoding} is not known; usual are utf-8, latin-1, cp1252, utf-16"
        ) from None
