"""A server that is overloaded, hangs up or breaks off while a table is read changes no window."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from lstm.windows import OrderSpec, open_windows
from storage.objects import Unreachable
from storage.tables import Lake

from ...storage import fake_s3
from .conftest import sorted_table

OPTIONS = {"time": "t", "entity": "name", "context": 4, "horizon": 2, "memory_mib": 1}
HOURS = 24_000


@pytest.fixture
def server(tmp_path):
    """Holds a Delta table of some 300 KB in one file of 48 row groups."""
    write_deltalake(tmp_path / "t", sorted_table(HOURS))
    with fake_s3.serve() as fake, fake_s3.hurried():
        for path in (tmp_path / "t").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                if path.suffix == ".parquet":
                    again = tmp_path / "again.parquet"
                    pq.write_table(pq.read_table(path, partitioning=None), again, row_group_size=1000)
                    size, data = len(data), again.read_bytes()
                fake.objects[f"lake/{path.relative_to(tmp_path)}"] = data
        log = "lake/t/_delta_log/00000000000000000000.json"
        fake.objects[log] = fake.objects[log].replace(
            b'"size":%d' % size, b'"size":%d' % len(again.read_bytes())
        )
        yield fake


def windows_of(fake, disk=None, **access):
    lake = Lake(access=fake.access(**access))
    return open_windows("s3://lake/t", lake=lake, order=OrderSpec(lanes=2, pool=2), disk=disk, **OPTIONS)


def test_every_window_comes_as_from_a_sound_server(server):
    opened = windows_of(server, patience_s=60, read_timeout_s=1)
    with opened.stream() as stream:
        sound = [batch.values.tobytes() for batch in stream]
    clean = server.requests["GET"]
    server.faults += [503, None, "close", 503, None, "half", None, None, 500, "silent", 503, 503]
    with windows_of(server, patience_s=60, read_timeout_s=1).stream() as stream:
        faulty = [batch.values.tobytes() for batch in stream]
    assert faulty == sound
    assert not server.faults
    assert server.requests["GET"] - clean > clean
    assert len(np.unique(sound)) == len(sound)


def test_one_that_stays_overloaded_ends_the_stream_with_its_reason(server):
    opened = windows_of(server, patience_s=0.5)
    server.faults += [503] * 1000
    with opened.stream() as stream, pytest.raises(Unreachable, match=r"keeps failing; .* answers 503"):
        next(iter(stream))
