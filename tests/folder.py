"""A folder of a bucket that behaves as a bucket of its own, for keys that may not create one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from storage.objects import Access, Bucket, Object, ObjectInfo


class Folder(Bucket):
    """All keys lie under `folder/`."""

    def __init__(self, name: str, access: Access, folder: str) -> None:
        super().__init__(name, access)
        self.folder = folder

    def put(self, key: str, data: bytes | memoryview) -> str:
        return super().put(self._full(key), data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        return super().put_if_absent(self._full(key), data)

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        return super().put_if_match(self._full(key), data, etag)

    def get(self, key: str, limit: int | None = None) -> Object:
        return super().get(self._full(key), limit)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return super().get_range(self._full(key), start, length)

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        return super().get_parts(self._full(key), start, lengths)

    def head(self, key: str) -> ObjectInfo:
        return replace(super().head(self._full(key)), key=key)

    def delete(self, key: str) -> None:
        super().delete(self._full(key))

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in super().scan(self._full(prefix)):
            yield replace(info, key=info.key.removeprefix(f"{self.folder}/"))

    def folders(self, prefix: str) -> Iterator[str]:
        return super().folders(self._full(prefix))

    def _full(self, key: str) -> str:
        return f"{self.folder}/{key}"
