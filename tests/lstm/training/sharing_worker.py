"""A rank that shares saves of any size, and writes down which packs it has put.

Rank 1 may reach the bucket by an endpoint of its own, or be refused when it puts its nth pack.
"""

import json
import os
from pathlib import Path

from lstm.training import worker
from storage.checkpoints.together import leader
from storage.objects import AccessDenied, Bucket

TRACE = "CAROUSEL_TEST_TRACE"
ENDPOINT = "CAROUSEL_TEST_ENDPOINT"
"""Of rank 1."""
REFUSED = "CAROUSEL_TEST_REFUSED"
"""Which pack of rank 1, from 1 on."""

_put = Bucket.put


def put(bucket: Bucket, key: str, data: bytes | memoryview) -> str:
    if "/packs/" not in key:
        return _put(bucket, key, data)
    trace = Path(os.environ[TRACE]) / f"{os.environ[worker.ATTEMPT]}.{os.environ['RANK']}"
    done = trace.read_text().splitlines() if trace.exists() else []
    if os.environ["RANK"] == "1" and str(len(done) + 1) == os.environ.get(REFUSED):
        raise AccessDenied("rank 1 may not write there any more")
    etag = _put(bucket, key, data)
    with trace.open("a") as file:
        file.write(key.rpartition("/")[2] + "\n")
    return etag


if __name__ == "__main__":
    Bucket.put = put
    leader.WORTH_SHARING = 1
    if os.environ["RANK"] == "1" and ENDPOINT in os.environ:
        lake = json.loads(os.environ[worker.LAKE])
        lake["access"]["endpoint_url"] = os.environ[ENDPOINT]
        os.environ[worker.LAKE] = json.dumps(lake)
    worker.end(worker.main())
