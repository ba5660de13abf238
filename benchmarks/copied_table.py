"""A large Delta table in less time than writing its rows takes: one file, over and over.

The table is partitioned by series: which one a file holds stands in the log, so all files may have the same
bytes. Each is an object of its own, fetched and decoded as any other. Rows are random, which no compression
makes smaller. To encode 7.7 GB of rows anew takes four minutes of a core.
"""

import io
import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage import uri as uris
from storage.objects import Access, Bucket

_THREADS = 2


def write_copies(access: Access, uri: str, size: int, *, rows: int, width: int, row_group_rows: int) -> int:
    """Write a table of `size` bytes at least, and say of how many.

    Args:
        access: of the bucket.
        uri: of a table that is not there yet.
        size: bytes of all its files.
        rows: of each file, a series of its own.
        width: its columns `x0`, `x1`, …, beside `entity` and `time`.
        row_group_rows: rows per row group.
    """
    name, root = uris.parse(uri)
    bucket, file, schema = Bucket(name, access), _file(rows, width, row_group_rows), _schema(width)
    count = math.ceil(size / len(file))
    keys = [f"entity={number}/part.parquet" for number in range(count)]
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda key: bucket.put(f"{root}/{key}", file), keys))
    add = {
        "size": len(file),
        "modificationTime": 0,
        "dataChange": True,
        "stats": json.dumps({"numRecords": rows}),
    }
    actions = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": root,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps(schema),
                "partitionColumns": ["entity"],
                "configuration": {},
                "createdTime": 0,
            }
        },
        *(
            {"add": {"path": key, "partitionValues": {"entity": str(number)}, **add}}
            for number, key in enumerate(keys)
        ),
        {"commitInfo": {"timestamp": 0, "operation": "WRITE"}},
    ]
    log = "\n".join(json.dumps(action) for action in actions)
    bucket.put(f"{root}/_delta_log/{0:020d}.json", log.encode())
    return count * len(file)


def _file(rows: int, width: int, row_group_rows: int) -> bytes:
    """The rows of one series, without its name."""
    values = np.random.default_rng(0).standard_normal((width, rows), np.float32)
    table = pa.table({"time": np.arange(rows), **{f"x{number}": values[number] for number in range(width)}})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=row_group_rows, use_dictionary=False, store_schema=False)
    return sink.getvalue()


def _schema(width: int) -> dict[str, object]:
    types = {"entity": "long", "time": "long", **{f"x{number}": "float" for number in range(width)}}
    fields = [{"name": it, "type": kind, "nullable": True, "metadata": {}} for it, kind in types.items()]
    return {"type": "struct", "fields": fields}
