"""pyiceberg's file access over our buckets: one HTTP stack, one set of errors, keys taken raw.

Nothing that a table's own properties say (another endpoint, another implementation) is followed.
"""

from __future__ import annotations

import io
from types import TracebackType
from typing import Self

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.typedef import Properties

from storage.objects import Access, Bucket, Exists, NotFound
from storage.tables.ranged import split

ACCESS = "carousel.access"


class BucketIO(FileIO):
    """Reads and writes `s3://bucket/key` with one set of credentials.

    pyiceberg makes one from properties where it does not take ours, so `ACCESS` among them holds the
    credentials: an object, which no text in a table's properties can replace.
    """

    def __init__(self, properties: Properties) -> None:
        super().__init__({})
        access = properties[ACCESS]
        assert isinstance(access, Access)
        self.access = access

    def new_input(self, location: str) -> InputFile:
        """A file to read."""
        return BucketInput(location, *_find(location, self.access))

    def new_output(self, location: str) -> OutputFile:
        """A file to write."""
        return _Output(location, self.access)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file, if there."""
        where = location if isinstance(location, str) else location.location
        bucket, key = _find(where, self.access)
        bucket.delete(key)


def _find(location: str, access: Access) -> tuple[Bucket, str]:
    name, key = split(location, "the table's metadata")
    return Bucket(name, access), key


class BucketInput(InputFile):
    """One object to read."""

    def __init__(self, location: str, bucket: Bucket, key: str) -> None:
        super().__init__(location)
        self._bucket, self._key = bucket, key

    def __len__(self) -> int:
        return self._bucket.head(self._key).size

    def exists(self) -> bool:
        """Whether it is there."""
        try:
            self._bucket.head(self._key)
        except NotFound:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        """Its bytes, read at once."""
        return io.BytesIO(self._bucket.get(self._key).data)


class _Output(OutputFile):
    def __init__(self, location: str, access: Access) -> None:
        super().__init__(location)
        self._bucket, self._key = _find(location, access)

    def __len__(self) -> int:
        return self._bucket.head(self._key).size

    def exists(self) -> bool:
        return self.to_input_file().exists()

    def to_input_file(self) -> InputFile:
        return BucketInput(self.location, self._bucket, self._key)

    def create(self, overwrite: bool = False) -> OutputStream:
        return _Upload(self._bucket, self._key, overwrite)


class _Upload(io.BytesIO):
    """Collects a metadata file and uploads it when closed; an error on the way leaves nothing behind."""

    def __init__(self, bucket: Bucket, key: str, overwrite: bool) -> None:
        super().__init__()
        self._bucket, self._key, self._overwrite = bucket, key, overwrite

    def close(self) -> None:
        if self.closed:
            return
        data = self.getvalue()
        super().close()
        if self._overwrite:
            self._bucket.put(self._key, data)
            return
        try:
            self._bucket.put_if_absent(self._key, data)
        except Exists as error:
            raise FileExistsError(f"s3://{self._bucket.name}/{self._key} exists") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            super().close()
