"""Delta logs written by hand: combinations of features that no writer at hand can make.

Also the encoders that go with `storage.tables.positions`, which only decodes.
"""

import base64
import json
import struct
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyroaring import BitMap64

from storage import uri as uris
from storage.objects import Access, Bucket

MAGIC = 1681511377
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def vector(rows: Iterable[int]) -> bytes:
    return struct.pack("<i", MAGIC) + BitMap64(rows).serialize()


def framed(blob: bytes) -> bytes:
    return struct.pack(">i", len(blob)) + blob + struct.pack(">I", zlib.crc32(blob))


def z85(data: bytes) -> str:
    padded = data + b"\0" * (-len(data) % 4)
    return base64.b85encode(padded).decode().translate(str.maketrans(_B85, _Z85))


class Log:
    """Writes commits and data files of one table."""

    def __init__(self, uri: str, access: Access) -> None:
        name, self.root = uris.parse(uri)
        self.bucket = Bucket(name, access)
        self.version = -1

    def commit(self, *actions: Mapping[str, Any], timestamp: int | None = None) -> None:
        self.version += 1
        info = {"timestamp": 1_700_000_000_000 + self.version if timestamp is None else timestamp}
        lines = [json.dumps(it) for it in ({"commitInfo": {**info, "operation": "BY HAND"}}, *actions)]
        self.bucket.put(f"{self.root}/_delta_log/{self.version:020d}.json", "\n".join(lines).encode())

    def data(self, path: str, rows: pa.Table, **writer: Any) -> int:
        """Write a data file at a raw path under the table; its size."""
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, **writer)
        data = sink.getvalue().to_pybytes()
        self.bucket.put(f"{self.root}/{path}", data)
        return len(data)

    def vector_file(self, rows: Iterable[int], prefix: str = "") -> dict[str, Any]:
        """Write a deletion vector to a file of its own, after some other bytes; its descriptor."""
        blob, name = vector(rows), uuid.uuid4()
        folder = f"{prefix}/" if prefix else ""
        key = f"{self.root}/{folder}deletion_vector_{name}.bin"
        self.bucket.put(key, b"\1other" + framed(blob))
        return {
            "storageType": "u",
            "pathOrInlineDv": prefix + z85(name.bytes),
            "offset": 6,
            "sizeInBytes": len(blob),
            "cardinality": len(list(rows)),
        }


def inline(rows: Sequence[int]) -> dict[str, Any]:
    blob = vector(rows)
    return {
        "storageType": "i",
        "pathOrInlineDv": z85(blob),
        "sizeInBytes": len(blob),
        "cardinality": len(rows),
    }


def protocol(*reader: str, version: int = 3) -> dict[str, Any]:
    features = {"readerFeatures": list(reader), "writerFeatures": list(reader)} if version == 3 else {}
    return {
        "protocol": {"minReaderVersion": version, "minWriterVersion": 7 if version == 3 else 2, **features}
    }


def metadata(
    fields: Sequence[Mapping[str, Any]], partitions: Sequence[str] = (), **configuration: str
) -> dict[str, Any]:
    schema = {"type": "struct", "fields": [{"nullable": True, "metadata": {}, **it} for it in fields]}
    return {
        "metaData": {
            "id": "0",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps(schema),
            "partitionColumns": list(partitions),
            "configuration": configuration,
            "createdTime": 1_700_000_000_000,
        }
    }


def add(path: str, size: int, rows: int | None = None, **more: Any) -> dict[str, Any]:
    stats = {} if rows is None else {"stats": json.dumps({"numRecords": rows})}
    return {
        "add": {
            "path": path,
            "size": size,
            "partitionValues": {},
            "modificationTime": 1_700_000_000_000,
            "dataChange": True,
            **stats,
            **more,
        }
    }
