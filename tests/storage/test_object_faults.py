"""What a bucket makes of a network and a server that fail, each case told by its request count."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storage.errors import UserError
from storage.object_probe import is_litter
from storage.objects import (
    Access,
    AccessDenied,
    Bucket,
    BucketMissing,
    Exists,
    LostRace,
    NotFound,
    Object,
    ObjectError,
    OutcomeUnknown,
    Truncated,
    TryAgain,
    Unreachable,
    UnsafeServer,
)

from ..conftest import free_ports
from . import fake_s3
from .fake_s3 import FakeS3

SECRET = "very-secret"


@pytest.fixture
def fake() -> Iterator[FakeS3]:
    with fake_s3.serve() as running:
        yield running


def bucket_of(fake: FakeS3, **access: Any) -> Bucket:
    return Bucket("lake", fake.access(**access))


class TestConditionalPuts:
    """Sent once; never again by anybody but the caller."""

    @pytest.mark.parametrize("fault", ["lose", "close", 500, 502, 503, 504])
    def test_without_an_answer_the_outcome_is_unknown(self, fake: FakeS3, fault: str | int) -> None:
        bucket = bucket_of(fake, patience_s=20)
        etag = bucket.put("head", b"0")
        before = fake.requests["PUT"]
        fake.faults += [fault, fault]
        with pytest.raises(OutcomeUnknown):
            bucket.put_if_absent("new", b"1")
        with pytest.raises(OutcomeUnknown):
            bucket.put_if_match("head", b"1", etag)
        assert fake.requests["PUT"] == before + 2
        assert ("lake/new" in fake.objects) == (fault == "lose")
        assert (fake.objects["lake/head"] == b"1") == (fault == "lose")

    def test_silence_ends_as_unknown(self, fake: FakeS3) -> None:
        fake.faults += ["silent"]
        with pytest.raises(OutcomeUnknown):
            bucket_of(fake, read_timeout_s=0.1).put_if_absent("new", b"1")
        assert fake.requests["PUT"] == 1

    def test_a_conflict_is_not_taken_for_a_loss(self, fake: FakeS3) -> None:
        fake.faults += [409, 409]
        bucket = bucket_of(fake, patience_s=20)
        with pytest.raises(TryAgain):
            bucket.put_if_absent("new", b"1")
        with pytest.raises(TryAgain):
            bucket.put_if_match("new", b"1", '"x"')
        assert fake.requests["PUT"] == 2

    def test_a_server_that_is_not_up_yet_is_waited_for(self) -> None:
        """The connection never came about, so trying again cannot meet our own first try."""
        (port,) = free_ports(1)
        access = Access(
            endpoint_url=f"http://127.0.0.1:{port}", access_key="a", secret_key="b", patience_s=30
        )
        outcome: list[object] = []
        writer = threading.Thread(target=lambda: outcome.append(attempt(Bucket("lake", access))))
        writer.start()
        with fake_s3.serve(port) as fake:
            writer.join()
        assert outcome == ["created"]
        assert fake.requests["PUT"] == 1


def attempt(bucket: Bucket) -> object:
    try:
        bucket.put_if_absent("new", b"1")
    except ObjectError as error:
        return error
    return "created"


class TestPlainCalls:
    """Sent again until patience ends."""

    @pytest.mark.parametrize("fault", ["lose", "close", 500, 409])
    def test_a_server_that_fails_for_a_while_is_asked_again(self, fake: FakeS3, fault: str | int) -> None:
        bucket = bucket_of(fake, patience_s=30)
        for call in (
            lambda: bucket.put("k", b"1"),
            lambda: bucket.get("k"),
            bucket.list,
            lambda: bucket.head("k"),
        ):
            fake.faults += [fault, fault]
            call()
            assert not fake.faults
        assert fake.objects == {"lake/k": b"1"}

    def test_an_overloaded_server_is_asked_again(self, fake: FakeS3) -> None:
        fake.faults += [503, 503]
        bucket_of(fake, patience_s=30).put("k", b"1")
        assert fake.requests["PUT"] == 3

    def test_it_outlasts_the_retries_of_the_sdk(self, fake: FakeS3) -> None:
        fake.faults += ["close"] * 9
        bucket_of(fake, patience_s=60).put("k", b"1")
        assert fake.requests["PUT"] == 10

    def test_patience_ends(self, fake: FakeS3) -> None:
        fake.faults += [500] * 100
        with pytest.raises(Unreachable, match="500"):
            bucket_of(fake, patience_s=0).get("k")
        assert 1 <= fake.requests["GET"] <= 5

    def test_a_concurrent_request_that_stays_in_the_way_is_told_to_a_person(self, fake: FakeS3) -> None:
        fake.faults += [409]
        with pytest.raises(Unreachable, match="a concurrent request is in the way"):
            bucket_of(fake, patience_s=0).put("k", b"")

    def test_what_is_refused_is_not_sent_again(self, fake: FakeS3) -> None:
        fake.denied.add("GET")
        with pytest.raises(AccessDenied):
            bucket_of(fake, patience_s=30).get("k")
        assert fake.requests["GET"] == 1

    def test_a_body_that_breaks_off_is_read_anew(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        etag = bucket.put("k", b"0123456789")
        fake.faults += ["half", "half", None, "half", "half", None]
        assert bucket.get("k") == Object(b"0123456789", etag)
        assert bucket.get_range("k", 2, 4) == b"2345"

    def test_parts_go_on_where_a_body_broke_off(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        bucket.put("k", b"0123456789")
        fake.requests.clear()
        fake.faults += ["half", "half", None]
        assert list(bucket.get_parts("k", 1, [2, 0, 3, 4])) == [b"12", b"", b"345", b"6789"]
        assert fake.requests["GET"] == 3

    def test_a_line_that_is_bad_for_a_moment_cuts_no_object(self, fake: FakeS3) -> None:
        """What is cut is called damaged for good: a resume would pass over it, and mark it in the head."""
        bucket = bucket_of(fake, patience_s=20)
        bucket.put("k", b"0123456789")
        fake.faults += ["half"] * 4
        assert bucket.get("k").data == b"0123456789"
        fake.faults += ["half"] * 4
        assert list(bucket.get_parts("k", 0, [9, 1])) == [b"012345678", b"9"]

    def test_parts_come_however_often_a_body_breaks_off_further_on(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        bucket.put("k", bytes(range(64)))
        fake.faults += ["half"] * 6
        assert list(bucket.get_parts("k", 0, [1] * 64)) == [bytes([it]) for it in range(64)]

    def test_parts_that_always_break_off_are_truncated(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        bucket.put("k", b"0123456789")
        fake.faults += ["half"] * 4
        parts = bucket.get_parts("k", 0, [5, 5])
        assert next(parts) == b"01234"
        with pytest.raises(Truncated, match="s3://lake/k"):
            next(parts)

    def test_a_body_that_always_breaks_off_is_truncated(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        bucket.put("k", b"0123456789")
        fake.faults += ["half"] * 6
        with pytest.raises(Truncated, match="s3://lake/k"):
            bucket.get("k")
        with pytest.raises(Truncated, match="s3://lake/k"):
            bucket.get_range("k", 0, 10)

    def test_a_body_that_always_stops_coming_is_a_slow_network_and_no_damage(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake, read_timeout_s=0.2)
        bucket.put("k", b"0123456789")
        fake.faults += ["stall", "stall"]
        assert bucket.get("k").data == b"0123456789"
        fake.faults += ["stall"] * 6
        with pytest.raises(Unreachable, match="s3://lake/k stopped coming"):
            bucket.get("k")
        with pytest.raises(Unreachable, match="s3://lake/k stopped coming"):
            list(bucket.get_parts("k", 0, [10]))


class TestRangesInParallel:
    def test_look_ahead_is_bounded(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        bucket.put("k", bytes(1000))
        pieces = bucket.get_ranges((("k", i, 1) for i in range(1000)), threads=3)
        next(pieces)
        assert fake.requests["GET"] <= 6
        pieces.close()  # type: ignore[attr-defined]  # it is a generator
        assert fake.requests["GET"] <= 6

    def test_nothing_asked_is_nothing_sent(self, fake: FakeS3) -> None:
        assert list(bucket_of(fake).get_ranges([])) == []
        assert not fake.requests


class TestProbe:
    @pytest.mark.parametrize(
        ("ignored", "says"),
        [("If-None-Match", "If-None-Match"), ("If-Match", "If-Match"), ("list", "list"), ("get", "read")],
    )
    def test_a_server_that_breaks_a_promise_is_refused(self, fake: FakeS3, ignored: str, says: str) -> None:
        fake.ignores.add(ignored)
        with pytest.raises(UnsafeServer, match=says) as caught:
            bucket_of(fake).probe("repo")
        assert isinstance(caught.value, UserError)
        assert not fake.objects

    def test_a_server_that_knows_no_conditions_is_refused(self, fake: FakeS3) -> None:
        fake.faults += [501]
        with pytest.raises(UnsafeServer, match="501"):
            bucket_of(fake, patience_s=30).probe("repo")

    def test_a_writer_without_the_right_to_delete_passes(self, fake: FakeS3) -> None:
        fake.denied.add("DELETE")
        bucket_of(fake).probe("repo")
        assert len(fake.objects) == 1

    @pytest.mark.parametrize("before", ["get", "list"])
    def test_a_collector_that_cleans_up_too_early_proves_nothing(
        self, fake: FakeS3, before: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket, cleaned = bucket_of(fake), []
        asked = getattr(bucket, before)

        def ask(key: str) -> object:
            if not cleaned:
                assert is_litter(key.removeprefix("repo/"), len(fake.objects.pop(f"lake/{key}")))
                cleaned.append(key)
            return asked(key)

        monkeypatch.setattr(bucket, before, ask)
        bucket.probe("repo")
        assert cleaned
        assert not fake.objects

    def test_a_lost_answer_proves_nothing(self, fake: FakeS3) -> None:
        fake.faults += ["lose", None, None, "lose", 409]
        bucket_of(fake).probe("repo")
        assert not fake.objects

    def test_a_server_that_never_answers_is_unreachable(self, fake: FakeS3) -> None:
        fake.faults += ["close"] * 5
        with pytest.raises(Unreachable, match="5 tries"):
            bucket_of(fake).probe("repo")


class TestMessages:
    """Whatever goes wrong: what was asked, where, and never the secret."""

    CALLS: tuple[Callable[[Bucket], object], ...] = (
        lambda it: it.put("k", b""),
        lambda it: it.put_if_absent("k", b""),
        lambda it: it.put_if_match("k", b"", '"0"'),
        lambda it: it.get("k"),
        lambda it: list(it.get_ranges([("k", 0, 1)])),
        lambda it: it.head("k"),
        lambda it: it.list(),
        lambda it: it.delete("k"),
        lambda it: it.create(),
        lambda it: it.exists(),
        lambda it: it.probe("p"),
    )

    @pytest.mark.parametrize("number", range(len(CALLS)))
    def test_nobody_listens(self, number: int) -> None:
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        bucket = Bucket("lake", Access(endpoint_url=url, access_key="AK", secret_key=SECRET, patience_s=0))
        with pytest.raises(Unreachable, match="Connection refused") as caught:
            self.CALLS[number](bucket)
        assert url in str(caught.value)
        assert "s3://lake" in str(caught.value)

    def test_no_such_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # asks no name server
        access = Access(
            endpoint_url="http://no-such-host.invalid", access_key="AK", secret_key=SECRET, patience_s=0
        )
        with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
            Bucket("lake", access).exists()

    @pytest.mark.parametrize("number", range(len(CALLS)))
    def test_no_credentials(self, fake: FakeS3, number: int) -> None:
        bucket = bucket_of(fake, access_key=None, secret_key=None)
        with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID") as caught:
            self.CALLS[number](bucket)
        assert fake.url in str(caught.value)
        assert not fake.requests

    def test_secrets_are_in_no_repr_and_no_error(self, fake: FakeS3) -> None:
        bucket = bucket_of(fake)
        assert SECRET not in repr(bucket)
        assert "AKFAKE" not in repr(bucket.access)
        fake.faults += ["close"] * 20
        with pytest.raises(OutcomeUnknown) as caught:
            bucket.put_if_absent("k", b"1")
        chain: BaseException | None = caught.value
        while chain is not None:
            assert SECRET not in f"{chain} {chain!r}"
            chain = chain.__cause__ or chain.__context__

    @pytest.mark.parametrize(
        "fields",
        [
            {"access_key": "AK"},
            {"secret_key": SECRET},
            {"endpoint_url": "127.0.0.1:9000"},
            {"endpoint_url": "ftp://host"},
            {"endpoint_url": "http://"},
            {"endpoint_url": "http://host:99999"},
            {"endpoint_url": f"http://user:{SECRET}@host:9000"},
        ],
    )
    def test_an_access_that_cannot_work_is_refused_when_made(self, fields: dict[str, str]) -> None:
        with pytest.raises(UserError) as caught:
            Access(**fields)  # type: ignore[arg-type]  # text fields only
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "s3://lake", "x" * 256])
    def test_a_name_that_no_server_could_have_is_refused_when_made(self, fake: FakeS3, name: str) -> None:
        with pytest.raises(BucketMissing):
            Bucket(name, fake.access())


def test_errors_say_what_a_caller_does_next() -> None:
    """A user's mistake ends the command; the others are for code to handle."""
    assert all(issubclass(it, UserError) for it in (AccessDenied, BucketMissing, Unreachable, UnsafeServer))
    handled = (NotFound, Exists, LostRace, TryAgain, OutcomeUnknown, Truncated)
    assert all(issubclass(it, ObjectError) and not issubclass(it, UserError) for it in handled)


def test_a_wrong_address_is_told_at_once_whatever_the_patience() -> None:
    access = Access(
        endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}", access_key="a", secret_key="b", patience_s=120
    )
    started = time.monotonic()
    with pytest.raises(Unreachable):
        Bucket("lake", access).exists()
    assert time.monotonic() - started < access.patience_s / 2


def test_a_bucket_of_an_overloaded_server_is_found(fake: FakeS3) -> None:
    fake.faults += [503]
    assert bucket_of(fake).exists()
