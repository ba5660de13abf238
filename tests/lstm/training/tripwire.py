"""A TCP proxy before an S3 server that acts when a certain request passes: to kill inside a save."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

REQUEST = re.compile(rb"^(GET|PUT|HEAD|DELETE|POST) (\S+) HTTP/1.1\r\n")


@dataclass
class Tripwire:
    """Forwards bytes; `trips(method, path)` is asked before each request goes on; if true, `then()` runs.

    `after=True` lets the request reach the server first and swallows its answer: the lost response.
    """

    upstream: str
    trips: Callable[[str, str], bool] = lambda method, path: False
    then: Callable[[], None] = lambda: None
    after: bool = False
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        parts = urlsplit(self.upstream)
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection((parts.hostname, parts.port)) as server,
        ):
            tripped = threading.Event()
            threading.Thread(target=self._answers, args=(server, client, tripped), daemon=True).start()
            while data := client.recv(1 << 16):
                if self._tripped_by(data):
                    if not self.after:
                        self.then()
                        return
                    tripped.set()
                server.sendall(data)

    def _tripped_by(self, data: bytes) -> bool:
        found = REQUEST.match(data)
        if not found:
            return False
        method, path = found[1].decode(), found[2].decode()
        with self._lock:
            self.requests.append(f"{method} {path}")
            return self.trips(method, path)

    def _answers(self, server: socket.socket, client: socket.socket, tripped: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if tripped.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    self.then()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
