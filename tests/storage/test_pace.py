"""A cap on requests per second holds for all threads together, and for requests that are sent again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import object_access
from storage.errors import UserError
from storage.objects import Access, Bucket, Unreachable
from storage.pace import Pace

from . import fake_s3


class Clock:
    """Time stands still but for what is slept, by each thread for itself: so turns are told exactly."""

    def __init__(self):
        self.now = 100.0
        self.turns = []
        self.lock = threading.Lock()

    def sleep(self, seconds):
        with self.lock:
            self.turns.append(self.now + seconds)


@given(rate=st.floats(0.5, 500), requests=st.integers(1, 60))
@settings(deadline=None, max_examples=30)
def test_no_second_holds_more_requests_than_allowed(rate, requests):
    clock = Clock()
    pace = Pace(rate, lambda: clock.now, clock.sleep)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pace.wait(), range(requests)))
    turns = sorted([clock.now, *clock.turns])
    assert len(turns) == requests  # one goes at once
    for first in turns:
        assert sum(first <= turn < first + 1 - 1e-6 for turn in turns) <= rate + 1


def test_who_has_waited_long_enough_goes_at_once():
    clock = Clock()
    pace = Pace(10, lambda: clock.now, clock.sleep)
    for _ in range(5):
        pace.wait()
        clock.now += 0.1001
    assert clock.turns == []


@pytest.fixture
def paced(monkeypatch):
    """A server in this process, and how many requests asked for their turn."""
    asked = []

    class Counted(Pace):
        def __init__(self):
            super().__init__(1000, sleep=lambda _: None)

        def wait(self, **told):
            asked.append(told["request"].method)
            super().wait()

    one = Counted()
    monkeypatch.setattr(object_access, "pace_of", lambda server, rate: one)
    with fake_s3.serve() as fake, fake_s3.hurried():
        yield fake, asked


def test_every_request_takes_its_turn_repeated_ones_too(paced):
    """SlowDown: the server says 503, and each try counts."""
    fake, asked = paced
    fake.objects["lake/table/a.parquet"] = bytes(1000)
    bucket = Bucket("lake", fake.access(patience_s=30, requests_per_second=1000))
    fake.faults += [503, None, 503, 503]
    parts = list(bucket.get_ranges([("table/a.parquet", at, 100) for at in range(0, 1000, 100)], threads=4))
    assert b"".join(parts) == bytes(1000)
    assert fake.requests["GET"] == 13
    assert asked == ["GET"] * 13


def test_a_server_that_stays_overloaded_is_told_in_words(paced):
    fake, asked = paced
    fake.objects["lake/a"] = b"1"
    fake.faults += [503] * 50
    with pytest.raises(Unreachable, match=r"the server keeps failing; .* answers 503"):
        Bucket("lake", fake.access(requests_per_second=1000)).get("a")
    assert len(asked) == fake.requests["GET"] > 1


def test_buckets_of_a_server_share_one_pace_and_no_limit_means_none():
    assert object_access.pace_of("https://s3", 5.0) is object_access.pace_of("https://s3", 5.0)
    assert object_access.pace_of("https://s3", 5.0) is not object_access.pace_of("https://other", 5.0)
    with pytest.raises(UserError, match="above 0, got 0; leave it out"):
        Access(requests_per_second=0)
