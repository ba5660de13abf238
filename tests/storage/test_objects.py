"""What every S3 server must do for us, over real ones: the embedded SeaweedFS, MinIO where at hand, yours."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage.local import LocalServer
from storage.object_access import client
from storage.objects import (
    Access,
    AccessDenied,
    Bucket,
    BucketMissing,
    Exists,
    LostRace,
    NotFound,
    ObjectError,
    OutcomeUnknown,
    TooLong,
    Truncated,
    Unreachable,
)

from ..conftest import External

RACERS = 16


class BucketContract:
    """Promises of a bucket on any server. Subclass and supply `access`."""

    @pytest.fixture
    def bucket(self, access: Access) -> Bucket:
        fresh = Bucket(f"test-{secrets.token_hex(6)}", access)
        fresh.create()
        return fresh

    def test_what_was_put_is_got(self, bucket: Bucket) -> None:
        etag = bucket.put("a/b", b"some bytes")
        assert bucket.get("a/b").data == b"some bytes"
        assert bucket.get("a/b").etag == bucket.head("a/b").etag == etag
        assert bucket.head("a/b").size == 10

    def test_an_object_that_is_larger_than_allowed_is_not_read(self, bucket: Bucket) -> None:
        bucket.put("k", b"0123456789")
        assert bucket.get("k", 10).data == b"0123456789"
        with pytest.raises(TooLong, match="10 bytes, not 9"):
            bucket.get("k", 9)

    def test_a_memoryview_and_an_empty_object_can_be_put(self, bucket: Bucket) -> None:
        bucket.put("view", memoryview(b"abcdef")[2:5])
        bucket.put("empty", b"")
        assert bucket.get("view").data == b"cde"
        assert bucket.get("empty").data == b""

    def test_put_replaces(self, bucket: Bucket) -> None:
        first = bucket.put("k", b"1")
        second = bucket.put("k", b"2")
        assert first != second
        assert bucket.get("k").data == b"2"

    def test_put_if_absent_creates_once(self, bucket: Bucket) -> None:
        etag = bucket.put_if_absent("k", b"1")
        with pytest.raises(Exists):
            bucket.put_if_absent("k", b"2")
        assert bucket.get("k").data == b"1"
        assert bucket.get("k").etag == etag

    def test_put_if_match_replaces_only_what_was_read(self, bucket: Bucket) -> None:
        first = bucket.put("k", b"1")
        second = bucket.put_if_match("k", b"2", first)
        with pytest.raises(LostRace):
            bucket.put_if_match("k", b"3", first)
        assert bucket.get("k") == type(bucket.get("k"))(b"2", second)

    def test_who_dies_before_the_first_byte_of_a_body_changes_nothing(self, access: Access) -> None:
        """SeaweedFS stores an empty object then, unless the request carries a checksum."""
        bucket = Bucket(f"test-{secrets.token_hex(6)}", access)
        bucket.create()
        etag = bucket.put("k", b"old")
        with dying_after_headers(access) as deadly:
            there = Bucket(bucket.name, deadly)
            for put in (
                lambda: there.put_if_match("k", b"new", etag),
                lambda: there.put_if_absent("other", b"new"),
                lambda: there.put("third", b"new"),
            ):
                with pytest.raises((OutcomeUnknown, Unreachable)):
                    put()
        assert bucket.get("k").data == b"old"
        assert [info.key for info in bucket.list()] == ["k"]

    def test_put_if_match_on_a_missing_object_is_a_lost_race(self, bucket: Bucket) -> None:
        etag = bucket.put("k", b"1")
        bucket.delete("k")
        with pytest.raises(LostRace):
            bucket.put_if_match("k", b"2", etag)
        with pytest.raises(NotFound):
            bucket.get("k")

    def test_of_16_creators_exactly_one_wins(self, bucket: Bucket) -> None:
        outcomes = race(lambda i: bucket.put_if_absent("k", b"writer %d" % i))
        winners = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, str)]
        assert len(winners) == 1
        assert all(isinstance(it, Exists) for i, it in enumerate(outcomes) if i not in winners)
        assert bucket.get("k").data == b"writer %d" % winners[0]

    def test_of_16_changers_exactly_one_wins(self, bucket: Bucket) -> None:
        etag = bucket.put("k", b"before")
        outcomes = race(lambda i: bucket.put_if_match("k", b"writer %d" % i, etag))
        winners = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, str)]
        assert len(winners) == 1
        assert all(isinstance(it, LostRace) for i, it in enumerate(outcomes) if i not in winners)
        assert bucket.get("k").data == b"writer %d" % winners[0]

    def test_a_range_is_the_bytes_asked_for(self, bucket: Bucket) -> None:
        bucket.put("k", bytes(range(100)))
        assert bucket.get_range("k", 0, 1) == b"\x00"
        assert bucket.get_range("k", 10, 5) == bytes(range(10, 15))
        assert bucket.get_range("k", 90, 10) == bytes(range(90, 100))
        assert bucket.get_range("k", 0, 0) == b""

    @pytest.mark.parametrize(("start", "length"), [(0, 101), (99, 2), (100, 1), (5000, 10)])
    def test_a_range_past_the_end_is_truncated(self, bucket: Bucket, start: int, length: int) -> None:
        bucket.put("k", bytes(100))
        with pytest.raises(Truncated):
            bucket.get_range("k", start, length)

    def test_parts_follow_one_another(self, bucket: Bucket) -> None:
        data = secrets.token_bytes(3_000_000)
        bucket.put("k", data)
        lengths = [0, 1, 1_000_000, 0, 17, 1_999_972, 10]
        parts = list(bucket.get_parts("k", 0, lengths))
        assert list(map(len, parts)) == lengths
        assert b"".join(parts) == data
        assert list(bucket.get_parts("k", 2_999_990, [3, 7])) == [data[-10:-7], data[-7:]]
        assert list(bucket.get_parts("k", 5, [0, 0])) == [b"", b""]

    @pytest.mark.parametrize(("start", "lengths"), [(0, [100, 1]), (99, [1, 1]), (100, [0, 1]), (5000, [9])])
    def test_parts_past_the_end_are_truncated(self, bucket: Bucket, start: int, lengths: list[int]) -> None:
        bucket.put("k", bytes(100))
        with pytest.raises(Truncated):
            list(bucket.get_parts("k", start, lengths))

    def test_ranges_come_in_the_order_asked(self, bucket: Bucket) -> None:
        data = secrets.token_bytes(5000)
        bucket.put("k", data)
        starts = [(i * 677) % 4900 for i in range(60)]
        assert list(bucket.get_ranges([("k", start, 50) for start in starts], threads=4)) == [
            data[start : start + 50] for start in starts
        ]

    def test_ranges_end_with_the_first_error(self, bucket: Bucket) -> None:
        bucket.put("k", b"0123456789")
        pieces = bucket.get_ranges([("k", 0, 1), ("gone", 0, 1), ("k", 1, 1)])
        assert next(pieces) == b"0"
        with pytest.raises(NotFound):
            next(pieces)

    def test_a_large_object_round_trips(self, bucket: Bucket) -> None:
        data = secrets.token_bytes(12_345_678)
        bucket.put("large", data)
        assert bucket.get("large").data == data
        assert (
            b"".join(bucket.get_ranges([("large", i, 1_234_567) for i in range(0, 12_345_670, 1_234_567)]))
            == data[:12_345_670]
        )

    def test_what_is_not_there_is_not_found(self, bucket: Bucket) -> None:
        parts = (lambda key: bucket.get_range(key, 0, 1), lambda key: next(bucket.get_parts(key, 0, [1])))
        for ask in (bucket.get, bucket.head, *parts):
            with pytest.raises(NotFound):
                ask("nothing/here")

    def test_delete_can_be_repeated(self, bucket: Bucket) -> None:
        bucket.put("k", b"1")
        bucket.delete("k")
        bucket.delete("k")
        with pytest.raises(NotFound):
            bucket.head("k")

    def test_a_list_shows_every_write_at_once_and_no_delete(self, bucket: Bucket) -> None:
        for i in range(5):
            bucket.put(f"p/{i}", b"x" * i)
            assert [(it.key, it.size) for it in bucket.list("p/")] == [(f"p/{j}", j) for j in range(i + 1)]
        bucket.delete("p/2")
        assert [it.key for it in bucket.list("p/")] == ["p/0", "p/1", "p/3", "p/4"]
        assert list(bucket.list("nothing")) == []

    def test_a_list_is_ordered_by_key_whatever_the_names(self, bucket: Bucket) -> None:
        keys = ["Z", "a b", "a%2Fb", "a+b", "a-b/c", "a.b", "a/b", "a/b.c", "a0", "run=1/x", "ä/ü", "a&<b"]
        for key in keys:
            bucket.put(key, key.encode())
        assert [it.key for it in bucket.list()] == sorted(keys)
        assert [it.key for it in bucket.list("a/")] == ["a/b", "a/b.c"]
        assert all(bucket.get(key).data == key.encode() for key in keys)

    def test_of_more_than_a_page_lists_are_whole_scans_ask_when_they_get_there_and_folders_are_told(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = [f"r/{run}/m/{i}" for run in ("a", "a-b", "a.b", "b") for i in range(400)] + ["r/file", "s/x"]
        with ThreadPoolExecutor(RACERS) as pool:
            list(pool.map(lambda key: bucket.put(key, b""), keys))
        listed = list(bucket.list("r/"))
        assert [it.key for it in listed] == sorted(keys)[:-1]

        asked: list[str] = []
        plain = bucket._calls.plain
        monkeypatch.setattr(
            bucket._calls, "plain", lambda verb, *rest: asked.append(verb) or plain(verb, *rest)
        )
        scan = bucket.scan("r/")
        first = [next(scan) for _ in range(900)]
        assert asked == ["list"]
        assert sorted([*first, *scan], key=lambda it: it.key) == listed

        asked.clear()
        assert sorted(bucket.folders("r/")) == ["a", "a-b", "a.b", "b"]
        assert asked == ["list"]
        assert list(bucket.folders("nothing/")) == []

    def test_a_bucket_can_be_created_again_and_at_once(self, access: Access) -> None:
        name = f"test-{secrets.token_hex(6)}"
        assert not Bucket(name, access).exists()
        assert race(lambda _: Bucket(name, access).create(), racers=4) == [None] * 4
        Bucket(name, access).put("k", b"1")
        Bucket(name, access).create()
        assert Bucket(name, access).exists()
        assert Bucket(name, access).get("k").data == b"1"

    def test_the_probe_accepts_this_server_and_leaves_nothing(self, bucket: Bucket) -> None:
        bucket.put("other", b"1")
        race(lambda _: bucket.probe("some/where"), racers=4)
        bucket.probe("")
        assert [it.key for it in bucket.list()] == ["other"]

    @pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/./b", "../a"])
    def test_keys_that_servers_fold_together_are_not_written(self, bucket: Bucket, key: str) -> None:
        with pytest.raises(ValueError, match="not every server"):
            bucket.put(key, b"1")

    @pytest.mark.parametrize("change", [{"access_key": "wrong"}, {"secret_key": "wrong"}])
    def test_wrong_keys_are_denied_everywhere(self, bucket: Bucket, change: dict[str, Any]) -> None:
        bucket.put("k", b"1")
        stranger = Bucket(bucket.name, replace(bucket.access, **change))
        for call in [*calls(stranger), stranger.create, stranger.exists]:
            with pytest.raises(AccessDenied) as caught:
                call()
            assert str(bucket.access.endpoint_url) in str(caught.value)
            assert str(bucket.access.secret_key) not in str(caught.value)
        assert bucket.get("k").data == b"1"

    def test_a_missing_bucket_is_told_from_a_missing_object(self, access: Access) -> None:
        nowhere = Bucket("no-such-bucket", access)
        for call in calls(nowhere):
            with pytest.raises((BucketMissing, LostRace)) as caught:
                call()
            assert "no-such-bucket" in str(caught.value)
        assert not nowhere.exists()

    def test_a_name_that_cannot_be_a_bucket_is_told(self, access: Access) -> None:
        with pytest.raises(BucketMissing, match="3 to 63"):
            Bucket("Under_Score", access).create()

    def test_versions_and_lifecycle_rules_are_warned_about(self, bucket: Bucket) -> None:
        assert list(bucket.cautions()) == []
        raw = client(bucket.access, retried=False)
        raw.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
        raw.put_bucket_lifecycle_configuration(
            Bucket=bucket.name,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "old",
                        "Status": "Enabled",
                        "Filter": {"Prefix": "packs/"},
                        "Expiration": {"Days": 30},
                    },
                    {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
                ]
            },
        )
        versions, rule = bucket.cautions()
        assert "old versions" in versions
        assert "'old'" in rule
        bucket.probe("still/fine")


class TestSeaweedFS(BucketContract):
    @pytest.fixture
    def access(self, s3_server: LocalServer) -> Access:
        return s3_server.access


class TestMinIO(BucketContract):
    @pytest.fixture
    def access(self, minio: Access) -> Access:
        return minio


class TestExternal(BucketContract):
    """The server that CAROUSEL_TEST_S3_ENDPOINT names."""

    @pytest.fixture
    def access(self, external: External) -> Access:
        return external.access

    @pytest.fixture
    def bucket(self, external_bucket: Bucket) -> Bucket:
        return external_bucket

    @pytest.mark.skip(reason="would leave a bucket behind on somebody's server")
    def test_a_bucket_can_be_created_again_and_at_once(self, access: Access) -> None: ...

    @pytest.mark.skip(reason="would change the settings of somebody's bucket")
    def test_versions_and_lifecycle_rules_are_warned_about(self, bucket: Bucket) -> None: ...


@contextmanager
def dying_after_headers(access: Access) -> Iterator[Access]:
    """A way to the same server on which each request ends with its headers, as if its sender were killed."""
    upstream = urlsplit(access.endpoint_url or "")
    if upstream.scheme != "http":
        pytest.skip("requests that are encrypted cannot be cut")

    def cut(client: socket.socket) -> None:
        with client, socket.create_connection((upstream.hostname, upstream.port)) as server:
            sent = b""
            while b"\r\n\r\n" not in sent and (data := client.recv(1 << 16)):
                sent += data
            server.sendall(sent.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            server.shutdown(socket.SHUT_WR)
            while server.recv(1 << 16):  # until it has decided
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    cut(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield replace(access, endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}", patience_s=0)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def calls(bucket: Bucket) -> Iterator[Callable[[], object]]:
    """Everything that one can ask of a bucket that exists."""
    yield lambda: bucket.put("k", b"x")
    yield lambda: bucket.put_if_absent("new", b"x")
    yield lambda: bucket.put_if_match("k", b"x", '"0"')
    yield lambda: bucket.get("k")
    yield lambda: bucket.get_range("k", 0, 1)
    yield lambda: next(bucket.get_ranges([("k", 0, 1)]))
    yield lambda: bucket.head("k")
    yield lambda: bucket.list("")
    yield lambda: bucket.delete("k")
    yield lambda: bucket.probe("p")


def race(work: Callable[[int], Any], racers: int = RACERS) -> list[Any]:
    """What each racer got, or the error it ran into; all start together."""
    gate = threading.Barrier(racers)

    def run(i: int) -> Any:
        gate.wait()
        try:
            return work(i)
        except ObjectError as error:
            return error

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))
