"""Recordings as samples: decoded from a cell's bytes, or from the object that the cell names.

libsndfile decodes (WAV, FLAC, OGG, MP3), through the `soundfile` package: the extra `audio`.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.errors import BadRecording
from lstm.windows.table.columns import is_text
from lstm.windows.table.whole_recordings import what_lacks
from storage.errors import UserError
from storage.local_files import LocalFiles
from storage.object_access import Access
from storage.object_errors import NotFound, TooLong, Truncated
from storage.objects import Bucket
from storage.tables.protocol import DataFile

Fetch = Callable[[str], bytes]
"""Reads the object of an address. Raises NotFound, TooLong, Truncated, or ValueError: no address that may be
read."""

_LARGEST = 1 << 30
"""Bytes of an object that is taken for a recording."""
_AT_ONCE = 16
"""Recordings that are fetched or decoded at a time."""
_UNTOLD = (1 << 63) - 1
"""What libsndfile says of a recording that does not say how many samples it has, as a FLAC from a pipe."""
_BLOCK = 1 << 16
"""Samples of such a recording that are decoded at a time."""


def fetch_from(access: Access, folder: Path | None) -> Fetch:
    """Read `s3://bucket/key` with this access; for a table in a local folder also files, from there on.

    A table in a bucket cannot make this machine read its own files.
    """
    buckets: dict[str, Bucket] = {}
    files = LocalFiles()

    def fetch(address: str) -> bytes:
        scheme, _, rest = address.partition("://")
        name, _, key = rest.partition("/")
        if scheme == "s3" and name and key:
            return buckets.setdefault(name, Bucket(name, access)).get(key, _LARGEST).data
        if folder is None or "://" in address:
            raise ValueError("recordings are found at s3://bucket/key")
        return files.get(str(folder / address).removeprefix("/"), _LARGEST).data

    return fetch


class Recordings:
    """Decodes the recordings of one column, and sees that they are alike."""

    def __init__(self, column: str, rate: int, channels: int, fetch: Fetch) -> None:
        """Take recordings of `rate` samples per second and `channels` only.

        Raises:
            UserError: the package that decodes is not installed.
        """
        try:
            import soundfile
        except ImportError:
            raise UserError(
                f"column {column!r} holds recordings, and nothing is installed that decodes them: "
                "pip install 'carousel-lstm[audio]'"
            ) from None
        self._soundfile = soundfile
        self._column, self._rate, self._channels, self._fetch = column, rate, channels, fetch
        self._lock = threading.Lock()
        self.fetched = 0
        """Bytes of objects read so far."""

    def lengths(self, column: pa.ChunkedArray[Any], file: DataFile) -> NDArray[np.int64]:
        """[n] samples of each recording, as its header says, counted where it does not; 0 of a null.

        Raises:
            BadRecording: one cannot be read, or is of another rate or other channels.
        """

        def length(number: int, cell: pa.Scalar[Any]) -> int:
            with self._opened(cell, number, file) as sound:
                return sum(map(len, _blocks(sound))) if sound.frames == _UNTOLD else int(sound.frames)

        return np.array(self._each(length, column, 0), np.int64)

    def decode(
        self, column: pa.ChunkedArray[Any], file: DataFile
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Samples [all, channels] of all recordings, -1 to 1, one after the other; and how many [n] each has.

        Raises as `lengths`.
        """

        nothing = np.empty((0, self._channels), np.float32)

        def samples(number: int, cell: pa.Scalar[Any]) -> NDArray[np.float32]:
            with self._opened(cell, number, file) as sound:
                promised = sound.frames
                if promised == _UNTOLD:
                    return np.concatenate([nothing, *_blocks(sound)])
                read: NDArray[np.float32] = sound.read(dtype="float32", always_2d=True)
            if len(read) != promised:
                raise self._bad(
                    number, file, f"ends after {len(read)} of the {promised} samples that it promises"
                )
            return read

        found = self._each(samples, column, nothing)
        return np.concatenate([nothing, *found]), np.array([len(it) for it in found], np.int64)

    def _each(
        self, work: Callable[[int, pa.Scalar[Any]], Any], column: pa.ChunkedArray[Any], null: Any
    ) -> Any:
        """What comes of each cell, in order; `null` of a null."""

        def of(number: int) -> Any:
            cell = column[number]
            return work(number, cell) if cell.is_valid else null

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(of, range(len(column))))

    @contextmanager
    def _opened(self, cell: pa.Scalar[Any], number: int, file: DataFile) -> Iterator[Any]:
        """A recording as a `SoundFile`; what libsndfile raises until it is closed becomes a BadRecording."""
        data = self._bytes(cell, number, file)
        try:
            with self._soundfile.SoundFile(io.BytesIO(data)) as sound:
                if (sound.samplerate, sound.channels) != (self._rate, self._channels):
                    raise self._bad(
                        number,
                        file,
                        f"has {sound.channels} channels of {sound.samplerate} samples per second, where "
                        f"{self._channels} of {self._rate} are expected",
                    )
                if (lack := what_lacks(data)) is not None:
                    raise self._bad(number, file, lack)
                yield sound
        except self._soundfile.LibsndfileError as error:
            raise self._bad(number, file, f"cannot be decoded: {error.error_string}") from None

    def _bytes(self, cell: pa.Scalar[Any], number: int, file: DataFile) -> bytes:
        if not is_text(cell.type):
            return bytes(cell.as_buffer())
        try:
            data = self._fetch(cell.as_py())
        except (NotFound, TooLong, Truncated, ValueError) as error:
            raise self._bad(number, file, f"cannot be fetched from {cell.as_py()!r}: {error}") from error
        with self._lock:
            self.fetched += len(data)
        return data

    def _bad(self, number: int, file: DataFile, what: str) -> BadRecording:
        return BadRecording(
            f"the recording in row {number} of a row group of {file.path}, column {self._column!r}, {what}; "
            "correct it or leave its row out when the table is written"
        )


def _blocks(sound: Any) -> Iterator[NDArray[np.float32]]:
    """The samples of an open `SoundFile` to their end, whatever their number."""
    sound.seekable = lambda: False  # it seeks after each read otherwise, which fails where no length is known
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block
