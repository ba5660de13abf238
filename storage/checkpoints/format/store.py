"""What a repository asks of a bucket: `storage.objects.Bucket` has it, and so has the fake of the tests."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from storage.checkpoints.errors import Damaged
from storage.objects import Object, ObjectInfo, TooLong, Truncated


class ObjectStore(Protocol):
    """One bucket, safe to share between threads; methods and errors as in `storage.objects.Bucket`."""

    def put(self, key: str, data: bytes | memoryview) -> str:
        """Write an object; its ETag. May be repeated by the SDK."""
        ...

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        """Write an object that is not there. Raises Exists, TryAgain, OutcomeUnknown."""
        ...

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        """Replace the very object that has `etag`. Raises LostRace, TryAgain, OutcomeUnknown."""
        ...

    def get(self, key: str, limit: int | None = None) -> Object:
        """Read an object of at most `limit` bytes. Raises NotFound, TooLong."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part. Raises NotFound, Truncated."""
        ...

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        """Read parts that follow one another, each as soon as it is there. Raises NotFound, Truncated."""
        ...

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]], threads: int = 8) -> Iterator[bytes]:
        """Read many parts `(key, start, length)` at once, in order."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """Size and ETag. Raises NotFound."""
        ...

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects below a prefix, in any order; holds few of them at a time."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """What comes before the next `/` in keys below a prefix, each once; a request for 1,000 of them."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if there. Only a collector calls this: a writer needs no right to delete."""
        ...

    def probe(self, prefix: str) -> None:
        """Raise UnsafeServer unless the server keeps what writing relies on."""
        ...


class Below:
    """A store's keys below one prefix."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self.store = store
        stripped = prefix.strip("/")
        self.prefix = f"{stripped}/" if stripped else ""

    def put(self, key: str, data: bytes | memoryview) -> str:
        """See `ObjectStore`."""
        return self.store.put(self.prefix + key, data)

    def put_if_absent(self, key: str, data: bytes) -> str:
        """See `ObjectStore`."""
        return self.store.put_if_absent(self.prefix + key, data)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """See `ObjectStore`."""
        return self.store.put_if_match(self.prefix + key, data, etag)

    def get(self, key: str, limit: int) -> Object:
        """Read an object. Raises NotFound; Damaged: it has more than `limit` bytes, or its server cannot send
        all of it."""
        try:
            return self.store.get(self.prefix + key, limit)
        except TooLong as error:
            raise Damaged(f"{key} is larger than any such object: {error}") from error
        except Truncated as error:
            raise Damaged(f"{key} cannot be read whole: {error}") from error

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See `ObjectStore`."""
        return self.store.get_range(self.prefix + key, start, length)

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        """See `ObjectStore`."""
        return self.store.get_parts(self.prefix + key, start, lengths)

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]]) -> Iterator[bytes]:
        """See `ObjectStore`."""
        return self.store.get_ranges([(self.prefix + key, start, length) for key, start, length in ranges])

    def size(self, key: str) -> int:
        """Bytes of an object. Raises NotFound."""
        return self.store.head(self.prefix + key).size

    def etag(self, key: str) -> str:
        """ETag of an object that need not be readable. Raises NotFound."""
        return self.store.head(self.prefix + key).etag

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys (below our prefix) and sizes, in any order."""
        for found in self.store.scan(self.prefix + prefix):
            yield found.key.removeprefix(self.prefix), found.size

    def folders(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore`."""
        return self.store.folders(self.prefix + prefix)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        self.store.delete(self.prefix + key)

    def probe(self) -> None:
        """See `ObjectStore`."""
        self.store.probe(self.prefix)
