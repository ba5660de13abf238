"""A table's bytes on this host's disk: later epochs and other ranks fetch nothing."""

import numpy as np
import pytest

from lstm.windows.order.order import EpochOrder
from storage.disk_cache import DiskCache

from .test_faulty_server import server, windows_of  # noqa: F401 - a fixture

PLENTY = 10**8


@pytest.fixture
def disk(tmp_path):
    return DiskCache(tmp_path / "cache", PLENTY)


def epochs(fake, disk, count, **ranks):
    """Batches of each epoch, and its GETs; nothing stays in memory from one to the next."""
    seen, gets = [], []
    for epoch in range(count):
        opened = windows_of(fake, disk)
        before = fake.requests["GET"]
        with opened.stream(batch_size=64, prefetch=0, **ranks) as stream:
            stream.set_epoch(epoch)
            seen.append([batch.values.tobytes() for batch in stream])
        gets.append(fake.requests["GET"] - before)
    return seen, gets


def test_the_second_epoch_reads_nothing(server, disk):  # noqa: F811
    plain, fetched = epochs(server, None, 2)
    assert min(fetched) > 20
    kept, gets = epochs(server, disk, 2)
    assert kept == plain
    assert gets[0] > 0
    assert gets[1] == 0


def test_another_process_of_the_host_reads_nothing(server, disk, tmp_path):  # noqa: F811
    epochs(server, disk, 1)
    _, gets = epochs(server, DiskCache(tmp_path / "cache", PLENTY), 1)
    assert gets == [0]


def test_two_ranks_fetch_together_what_one_alone_would(server, disk, tmp_path):  # noqa: F811
    _, alone = epochs(server, DiskCache(tmp_path / "other", PLENTY), 1)
    gets = [epochs(server, disk, 1, rank=rank, ranks=2)[1][0] for rank in (0, 1)]
    assert sum(gets) <= alone[0] + 2  # threads that miss a footer at once each fetch it


def test_an_epoch_goes_on_where_the_folder_was_removed(server, disk, tmp_path):  # noqa: F811
    plain, _ = epochs(server, None, 1)
    seen = []
    with windows_of(server, disk).stream(batch_size=64, prefetch=0) as stream:
        for number, batch in enumerate(stream):
            seen.append(batch.values.tobytes())
            if number == 1:
                (tmp_path / "cache").rename(tmp_path / "taken")
    assert [seen] == plain
    assert list(tmp_path.glob("cache/??/*"))  # and is used again


def test_a_damaged_entry_is_fetched_again(server, disk, tmp_path):  # noqa: F811
    plain, _ = epochs(server, disk, 1)
    entries = sorted(tmp_path.glob("cache/??/*"))
    for path in entries[::2]:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    again, gets = epochs(server, disk, 1)
    assert again == plain
    assert 0 < gets[0] < len(entries)


def test_half_the_room_saves_about_half_since_what_comes_last_goes_first(server, tmp_path):  # noqa: F811
    whole = DiskCache(tmp_path / "whole", PLENTY)
    epochs(server, whole, 1)
    size = sum(path.stat().st_size for path in tmp_path.glob("whole/??/*"))
    _, fetched = epochs(server, None, 4)
    half = DiskCache(tmp_path / "half", size // 2)
    _, gets = epochs(server, half, 4)
    assert sum(path.stat().st_size for path in tmp_path.glob("half/??/*")) <= size // 2
    assert sum(gets[1:]) < 0.65 * sum(fetched[1:])


def test_entries_of_pools_are_told_as_positions_tell_them():
    random = np.random.default_rng(0)
    order = EpochOrder(random.integers(1, 40, 50), lanes=3, pool=2, seed=1, epoch=2)
    entries = order.entries()
    for lane in range(3):
        for pool in range(order.pools(lane)):
            index, _ = order.pool_span(lane, pool)
            wanted = (2 * index + 1) / (2 * order.lane_windows[lane])
            assert entries[order.pool_superblocks(lane, pool)] == pytest.approx(wanted)
