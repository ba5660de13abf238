"""A stream that is dropped without `close`, as where a notebook's cell runs again, leaves nothing behind."""

import gc
import threading
import time

import pytest

from lstm.windows import Mixture

WAIT_S = 120


def until(true):
    """Wait for it; threads end when they are next at work."""
    latest = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < latest
        time.sleep(0.01)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize(
    "make",
    [
        lambda windows, prefetch: windows.stream(batch_size=4, prefetch=prefetch),
        lambda windows, prefetch: windows.stream(batch_size=4, prefetch=prefetch, ordered=True),
        lambda windows, prefetch: windows.tracks(tracks=2, prefetch=prefetch),
        lambda windows, prefetch: Mixture([windows], batch_size=4, prefetch=prefetch),
    ],
    ids=["shuffled", "ordered", "tracks", "mixture"],
)
@pytest.mark.parametrize("batches", [0, 1, 100])
def test_threads_end_and_memory_is_free_again(windows, make, prefetch, batches):
    free, threads = windows.reader.unreserved, threading.active_count()
    for _ in range(3):
        stream = make(windows, prefetch)
        assert windows.reader.unreserved < free
        for _, _ in zip(range(batches), stream, strict=False):
            pass
        del stream
    gc.collect()
    assert windows.reader.unreserved == free
    until(lambda: threading.active_count() <= threads)


def test_memory_is_given_back_once(windows):
    free = windows.reader.unreserved
    stream = windows.stream(batch_size=4)
    next(iter(stream))
    stream.close()
    assert windows.reader.unreserved == free
    del stream
    gc.collect()
    assert windows.reader.unreserved == free
