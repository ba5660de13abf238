"""An S3 endpoint in this process, over a real socket, that fails on demand as real servers do rarely."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from botocore import endpoint
from botocore.retries import bucket

from storage.objects import Access


class FakeS3:
    """Holds objects by `bucket/key`. Checks no signatures.

    Attributes:
        faults: what happens to the next requests, one each: a status to answer with; or "lose" the answer
            after doing it, "close" before doing it, send "half" of the body, "stall" after that half, stay
            "silent"; None: nothing.
        ignores: conditions that this server does not know; "list": it lists nothing, "get": it finds nothing.
        denied: methods that answer 403.
        refusals: keys that are refused, each with the status, the code and what else the answer says.
        requests: how many of each method arrived.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: deque[int | str | None] = deque()
        self.ignores: set[str] = set()
        self.denied: set[str] = set()
        self.refusals: dict[str, tuple[int, str, str]] = {}
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.url = ""

    def access(self, **changes: Any) -> Access:
        """Short timeouts, no patience, unless told otherwise."""
        keys = {"access_key": "AKFAKE", "secret_key": "very-secret"}
        return Access(**{"endpoint_url": self.url, "read_timeout_s": 5, "patience_s": 0, **keys, **changes})


@contextmanager
def serve(port: int = 0) -> Iterator[FakeS3]:
    """Run one until the block ends; port 0: any."""
    fake = FakeS3()

    class Handler(_Handler):
        state = fake

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield fake
        finally:
            fake.over.set()
            server.shutdown()
            thread.join()


@contextmanager
def hurried() -> Iterator[None]:
    """Until the block ends, the SDK sends as often as ever, and takes no break before: no server needs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))
        patch.setattr(bucket.TokenBucket, "acquire", lambda self, amount=1, block=True: True)
        yield


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer goes in two parts; the second would wait 40 ms
    state: FakeS3

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve(lambda: self._put(body))

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._serve((lambda: self._list(query)) if "list-type" in query else self._get)

    def do_HEAD(self) -> None:
        self._serve(self._get)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    @property
    def name(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _serve(self, act: Callable[[], None]) -> None:
        self.fault: int | str | None = None
        with self.state.lock:
            self.state.requests[self.command] += 1
            if self.state.faults:
                self.fault = self.state.faults.popleft()
        credential = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        if credential in self.state.refusals:
            return self._error(*self.state.refusals[credential])
        if self.command in self.state.denied:
            return self._error(403, "AccessDenied")
        if self.fault == "close":
            self.close_connection = True
            return None
        if self.fault == "silent":
            self.state.over.wait()
            self.close_connection = True
            return None
        if isinstance(self.fault, int):
            return self._error(
                self.fault, {503: "SlowDown", 409: "ConditionalRequestConflict"}.get(self.fault, "X")
            )
        return act()

    def _put(self, body: bytes) -> None:
        absent = "If-None-Match" not in self.state.ignores and self.headers.get("If-None-Match")
        match = "If-Match" not in self.state.ignores and self.headers.get("If-Match")
        with self.state.lock:
            there = self.state.objects.get(self.name)
            if match and there is None:
                return self._error(404, "NoSuchKey")
            if (absent and there is not None) or (match and match != _etag(there)):
                return self._error(412, "PreconditionFailed")
            self.state.objects[self.name] = body
        return self._answer(200, b"", {"ETag": _etag(body)})

    def _get(self) -> None:
        data = self.state.objects.get(self.name)
        if data is None or "get" in self.state.ignores:
            return self._error(404, "NoSuchKey")
        headers = {"ETag": _etag(data)}
        if span := self.headers.get("Range"):
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
            return self._answer(206, data[first : last + 1], headers)
        return self._answer(200, data, headers)

    def _delete(self) -> None:
        self.state.objects.pop(self.name, None)
        self._answer(204, b"", {})

    def _list(self, query: dict[str, list[str]]) -> None:
        bucket, prefix = self.name.rstrip("/"), query.get("prefix", [""])[0]
        start = f"{bucket}/{prefix}"
        shown = {} if "list" in self.state.ignores else self.state.objects
        found = "".join(
            f"<Contents><Key>{escape(name.removeprefix(bucket + '/'))}</Key>"
            f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size></Contents>"
            for name, data in sorted(shown.items())
            if name.startswith(start)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        self._answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str, more: str = "") -> None:
        body = f"<Error><Code>{code}</Code><Message>fake</Message>{more}</Error>"
        self._answer(status, body.encode(), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if self.fault == "lose":
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.fault in ("half", "stall"):
            body = body[: len(body) // 2]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)
        if self.fault == "stall":
            self.state.over.wait()


def _etag(data: bytes | None) -> str:
    return f'"{hashlib.md5(data or b"", usedforsecurity=False).hexdigest()}"'
