"""Ranges kept on disk: bounded, checked, shared, evicted by when they are needed next."""

import errno
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.disk_cache import DiskCache
from storage.errors import UserError

KIB = bytes(1000)


def held(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.is_file()]


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in held(folder))


def never() -> bytes:
    raise AssertionError("fetched again")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_what_was_fetched_is_found_by_every_process_of_the_host(folder):
    assert DiskCache(folder, 10_000).get("a", 5, 3, lambda: b"abc") == b"abc"
    other = DiskCache(folder, 10_000)
    assert other.get("a", 5, 3, never) == b"abc"
    assert other.hits == 1


def test_a_range_is_told_by_object_start_and_length(folder):
    cache = DiskCache(folder, 10_000)
    for at in [("a", 5, 3), ("b", 5, 3), ("a", 6, 3), ("a", 5, 2)]:
        cache.get(*at, lambda at=at: repr(at).encode()[: at[2]])
    assert len(held(folder)) == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"!", lambda data: b""])
def test_a_damaged_entry_is_noticed_and_fetched_again(folder, damage):
    cache = DiskCache(folder, 10_000)
    cache.get("a", 0, 3, lambda: b"abc")
    (path,) = held(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("a", 0, 3, lambda: b"abc") == b"abc"
    assert cache.get("a", 0, 3, never) == b"abc"


def test_what_is_needed_last_goes_first(folder):
    cache = DiskCache(folder, 10_500)
    for number in range(10):
        with cache.until(0, 1 + number / 10):
            cache.get(str(number), 0, 1000, lambda: KIB)
    with cache.until(0, 1.05):
        cache.get("new", 0, 1000, lambda: KIB)
    found = [number for number in range(10) if cache.find(str(number), 0, 1000) is not None]
    assert found == list(range(len(found)))  # the nearest ones stay
    assert 8 <= len(found) < 10
    assert cache.find("new", 0, 1000) is not None


def test_nothing_goes_for_what_is_needed_later(folder):
    cache = DiskCache(folder, 5_500)
    for number in range(5):
        with cache.until(0, 1):
            cache.get(str(number), 0, 1000, lambda: KIB)
    with cache.until(0, 2):
        cache.get("late", 0, 1000, lambda: KIB)
    assert cache.find("late", 0, 1000) is None
    assert len(held(folder)) == 5


def test_what_has_been_needed_is_needed_again_an_epoch_later(folder):
    cache = DiskCache(folder, 5_500)
    for name, needed in [("passed", 0.9), ("soon", 1.5), ("a", 1.1), ("b", 1.1), ("c", 1.1)]:
        with cache.until(0, needed):
            cache.get(name, 0, 1000, lambda: KIB)
    with cache.until(1, 1.2):  # "passed" counts as 1.9 now
        cache.get("new", 0, 1000, lambda: KIB)
    assert cache.find("passed", 0, 1000) is None
    assert cache.find("new", 0, 1000) is not None


def test_the_bound_holds_whoever_writes(folder):
    caches = [DiskCache(folder, 20_000) for _ in range(4)]

    def work(number):
        cache = caches[number % 4]
        with cache.until(0, 1 + number % 7):
            cache.get(str(number), 0, 1000, lambda: KIB)
        with cache._locked():  # nobody writes or evicts while it is measured
            return bytes_in(folder)

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(work, range(200)))
    assert max(seen) <= 20_000
    assert bytes_in(folder) > 10_000


def test_a_smaller_bound_is_kept_from_the_start(folder):
    cache = DiskCache(folder, 20_000)
    for number in range(10):
        cache.get(str(number), 0, 1000, lambda: KIB)
    DiskCache(folder, 3_000)
    assert bytes_in(folder) <= 3_000


def test_killed_at_any_moment_it_is_whole_and_within_its_bound(folder):
    """A process writes without end and is killed; the next one finds sound entries only."""
    program = textwrap.dedent(
        """
        import sys, pathlib
        from storage.disk_cache import DiskCache
        cache = DiskCache(pathlib.Path(sys.argv[1]), 3_000_000)
        print("on", flush=True)
        for number in range(10**9):
            cache.get(str(number), 0, 100_000, lambda: (b"%07d" % number) * 14285 + b"xxxxx")
        """
    )
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        cache = DiskCache(folder, 3_000_000)
        assert bytes_in(folder) <= 3_000_000
        sound = [
            n for n in range(2000) if (data := cache.find(str(n), 0, 100_000)) and data[:7] == b"%07d" % n
        ]
        assert len(sound) == len([path for path in held(folder) if not path.name.startswith(".")])


def test_temporary_files_of_the_dead_are_removed(folder):
    DiskCache(folder, 10_000).get("a", 0, 3, lambda: b"abc")
    (path,) = held(folder)
    left = path.with_name(".left")
    left.write_bytes(b"half")
    assert DiskCache(folder, 10_000).get("a", 0, 3, never) == b"abc"
    assert not left.exists()


def test_a_folder_that_was_removed_is_made_again(folder):
    cache, other = DiskCache(folder, 10_000), DiskCache(folder, 10_000)
    cache.get("a", 0, 3, lambda: b"abc")
    shutil.rmtree(folder)
    assert cache.get("a", 0, 3, lambda: b"abc") == b"abc"
    assert other.get("a", 0, 3, never) == b"abc"
    assert int((folder / "size").read_text()) == bytes_in(folder) > 0


@pytest.mark.parametrize("call", ["write_text", "write_bytes", "replace", "mkdir", "exists"])
def test_a_disk_that_fails_costs_nothing_but_what_it_would_have_saved(folder, call, monkeypatch):
    cache = DiskCache(folder, 10_000)
    cache.get("a", 0, 3, lambda: b"abc")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, call, full)
        assert cache.get("b", 0, 1000, lambda: KIB) == KIB
        assert cache.get("a", 0, 3, never) == b"abc"
        assert len(held(folder)) == 1
    assert cache.get("b", 0, 1000, lambda: KIB) == KIB  # there is room again
    assert cache.get("b", 0, 1000, never) == KIB


def test_a_damaged_entry_on_a_disk_that_fails_is_fetched_again(folder, monkeypatch):
    cache = DiskCache(folder, 10_000)
    cache.get("a", 0, 3, lambda: b"abc")
    (path,) = held(folder)
    path.write_bytes(b"")

    def unwritable(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", unwritable)
    assert cache.get("a", 0, 3, lambda: b"abc") == b"abc"


def test_a_bound_of_nothing_and_a_folder_that_is_none_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match="at least 1 byte, got 0"):
        DiskCache(folder, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot keep a cache"):
        DiskCache(tmp_path / "file" / "below", math.floor(1e6))
