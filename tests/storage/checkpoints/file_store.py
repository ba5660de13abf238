"""A folder as a bucket that can only be read."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from storage.objects import NotFound, Object, ObjectInfo, Truncated


class FileStore:
    """Keys are paths below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str, limit: int | None = None) -> Object:
        try:
            return Object((self.root / key).read_bytes(), "etag")
        except FileNotFoundError as error:
            raise NotFound(key) from error

    def get_range(self, key: str, start: int, length: int) -> bytes:
        part = self.get(key).data[start : start + length]
        if len(part) != length:
            raise Truncated(key)
        return part

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        whole = memoryview(self.get_range(key, start, sum(lengths)))
        for length in lengths:
            yield bytes(whole[:length])
            whole = whole[length:]

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]], threads: int = 8) -> Iterator[bytes]:
        for wanted in ranges:
            yield self.get_range(*wanted)

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key).data), "etag")

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        paths = (path for path in self.root.rglob("*") if path.is_file())
        for key in sorted(path.relative_to(self.root).as_posix() for path in paths):
            if key.startswith(prefix):
                yield self.head(key)

    def folders(self, prefix: str) -> Iterator[str]:
        raise AssertionError("read only")

    def put(self, key: str, data: bytes | memoryview) -> str:
        raise AssertionError("read only")

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        raise AssertionError("read only")

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        raise AssertionError("read only")

    def probe(self, prefix: str) -> None:
        raise AssertionError("read only")
