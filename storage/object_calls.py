"""How one request to a bucket is sent: how long, how often, and what its failure means."""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from botocore import exceptions as sdk
from urllib3.exceptions import HTTPError

from storage.object_access import Access, client, place, renew
from storage.object_errors import (
    NEVER_SENT,
    NO_ANSWER,
    Exists,
    LostRace,
    OutcomeUnknown,
    TooLong,
    Truncated,
    TryAgain,
    Unreachable,
    code_of,
    has_expired,
    is_trouble,
    passes,
    status_of,
    translate,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

T = TypeVar("T")
Failure = sdk.BotoCoreError | sdk.ClientError
_BROKEN = (*NO_ANSWER, sdk.IncompleteReadError, HTTPError)
"""A body that does not come whole; the SDK lets some of the errors of what it rests on pass."""
_BODY_TRIES = 3
_BODY_PATIENCE_S = 5.0
"""At most, of a caller's patience: a server that has lost part of an object breaks off each time."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0


class Calls:
    """Sends requests about one bucket; `verb` and `key` are for messages."""

    def __init__(self, bucket: str, access: Access) -> None:
        self.bucket = bucket
        self.access = access

    def uri(self, key: str) -> str:
        """The key as a person writes it."""
        return f"s3://{self.bucket}/{key}" if key else f"s3://{self.bucket}"

    def plain(self, verb: str, key: str, request: Callable[[S3Client], T]) -> T:
        """Send a request that may be repeated, until it is answered or patience ends."""
        try:
            with self._translated(verb, key):
                return self._patiently(
                    lambda: request(client(self.access, retried=True)), self._renewing(passes)
                )
        except TryAgain as error:  # it has been tried again
            raise Unreachable(str(error)) from error.__cause__

    def at_once(self, verb: str, key: str, request: Callable[[S3Client], T]) -> T:
        """Send a request a single time: to tell a person quickly that nobody answers."""
        with self._translated(verb, key):
            return request(client(self.access, retried=False))

    def conditional(
        self, verb: str, key: str, request: Callable[[S3Client], T], lost: type[Exists] | type[LostRace]
    ) -> T:
        """Send a request that must not be repeated: only what cannot have had an effect is tried anew.

        Raises:
            Exists, LostRace: the condition does not hold.
            TryAgain: refused because of a concurrent request.
            OutcomeUnknown: the answer was lost.
        """
        where = f"{verb} {self.uri(key)}"
        with self._translated(verb, key):
            try:
                return self._patiently(
                    lambda: request(client(self.access, retried=False)),
                    self._renewing(lambda error: isinstance(error, NEVER_SENT)),
                )
            except sdk.ClientError as error:
                gone = lost is LostRace and status_of(error) == 404 and code_of(error) != "NoSuchBucket"
                if status_of(error) == 412 or gone:
                    found = "it exists already" if lost is Exists else "it has changed or is gone"
                    raise lost(f"could not {where}: {found}") from error
                if is_trouble(error):
                    said = f"{self.endpoint} answers {status_of(error)} {code_of(error)}"
                    raise OutcomeUnknown(f"perhaps {where}: {said}") from error
                raise
            except NO_ANSWER as error:
                if isinstance(error, NEVER_SENT):
                    raise
                raise OutcomeUnknown(
                    f"perhaps {where}: the answer was lost ({type(error).__name__})"
                ) from error

    def read(
        self, key: str, request: Callable[[S3Client], GetObjectOutputTypeDef], limit: int | None = None
    ) -> tuple[GetObjectOutputTypeDef, bytes]:
        """Send a request and read its answer's body, anew if that breaks off (the SDK looks at headers only).

        Raises:
            TooLong: there are more than `limit` bytes.
            Truncated: it broke off each time though the server answers: the object, rather than the line.
            Unreachable: it stopped coming each time.
        """
        breaks = _Breaks(self.uri(key), self.access.patience_s)
        while True:
            answer = self.plain("read", key, request)
            try:
                with contextlib.closing(answer["Body"]) as body:
                    if limit is not None and answer["ContentLength"] > limit:
                        raise TooLong(
                            f"{self.uri(key)} has {answer['ContentLength']} bytes, not {limit} at most"
                        )
                    return answer, body.read()
            except _BROKEN as error:
                breaks.after(error)

    def read_parts(
        self, key: str, request: Callable[[S3Client, int], GetObjectOutputTypeDef], lengths: Sequence[int]
    ) -> Iterator[bytes]:
        """As `read`, in parts; a body goes on where it broke off, by a `request` that knows how far that is.

        Raises:
            Truncated: as `read`, or the object is shorter.
        """
        left, done = deque(lengths), 0
        breaks = _Breaks(self.uri(key), self.access.patience_s)
        while True:
            answer = self.plain("read", key, partial(_after, request, done))
            try:
                with contextlib.closing(answer["Body"]) as body:
                    if answer["ContentLength"] != sum(left):
                        there = answer["ContentLength"]
                        raise Truncated(f"{self.uri(key)} holds {there} of the {sum(left)} bytes asked for")
                    while left:
                        part = body.read(left[0])
                        if len(part) != left[0]:
                            raise sdk.IncompleteReadError(actual_bytes=len(part), expected_bytes=left[0])
                        done += left.popleft()
                        yield part
                    return
            except _BROKEN as error:
                breaks.after(error, done)

    @property
    def endpoint(self) -> str:
        """The server's address, for messages."""
        return place(self.access)

    def _renewing(self, worth_it: Callable[[Failure], bool]) -> Callable[[Failure], bool]:
        """Also worth another try, one: keys that have expired, as their file may hold new ones by now."""
        renewed = self.access.access_key is not None

        def decide(error: Failure) -> bool:
            nonlocal renewed
            if renewed or not has_expired(error):
                return worth_it(error)
            renewed = True
            renew()
            return True

        return decide

    def _patiently(self, send: Callable[[], T], worth_it: Callable[[Failure], bool]) -> T:
        deadline = time.monotonic() + self.access.patience_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return send()
            except (sdk.BotoCoreError, sdk.ClientError) as error:
                if not worth_it(error) or time.monotonic() + wait_s > deadline:
                    raise
            _pause(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    @contextlib.contextmanager
    def _translated(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except (sdk.BotoCoreError, sdk.ClientError) as error:
            known = translate(error, f"{verb} {self.uri(key)}", self.endpoint)
            if known is None:
                raise
            raise known from error


def _pause(most_s: float) -> None:
    """Wait so long at most, half of it at least: who failed together does not come back together."""
    time.sleep(most_s * random.uniform(0.5, 1))  # noqa: S311 - spreads clients, keeps no secret


class _Breaks:
    """Counts how often a body broke off, and waits longer from one try to the next.

    Three times in a row at the same place, over seconds, is the object rather than the line: what is read is
    then called damaged, and that is remembered. So a line that is bad for a moment must not come to that, nor
    a server that only falls silent: one that has lost bytes ends the connection.
    """

    def __init__(self, what: str, patience_s: float) -> None:
        self._what, self._patience_s = what, min(patience_s, _BODY_PATIENCE_S)
        self._furthest = 0
        self._begin()

    def after(self, error: Exception, done: int = 0) -> None:
        """Wait, or raise Truncated or Unreachable; `done` bytes have come in all tries together."""
        if done > self._furthest:
            self._furthest = done
            self._begin()
        self._tries += 1
        if self._tries >= _BODY_TRIES and time.monotonic() >= self._deadline:
            if isinstance(error, sdk.ReadTimeoutError):
                raise Unreachable(
                    f"{self._what} stopped coming in each of {self._tries} tries: its server or the network"
                    " between is too slow"
                ) from error
            raise Truncated(f"{self._what} broke off in each of {self._tries} tries: {error}") from error
        _pause(min(_FIRST_WAIT_S * 2 ** (self._tries - 1), _LONGEST_WAIT_S, self._patience_s))

    def _begin(self) -> None:
        self._tries, self._deadline = 0, time.monotonic() + self._patience_s


def _after(
    request: Callable[[S3Client, int], GetObjectOutputTypeDef], done: int, s3: S3Client
) -> GetObjectOutputTypeDef:
    return request(s3, done)
