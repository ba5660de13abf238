"""This machine's loopback, where our own servers listen: its free ports, and how to reach it past a proxy.

A proxy that the environment names cannot reach our loopback. Each HTTP library has rules of its own for
when it looks at the environment (some before they can be told not to, such as pyiceberg's for its first
token), so the environment itself is mended, once per process.
"""

import os
import socket

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost", "::1")


def is_free(port: int) -> bool:
    """Whether a server of ours could listen on `port` now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not held up by closed connections
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def bypass_proxies() -> None:
    """Add the loopback's names to NO_PROXY of this process and of those it starts; keep what stands there."""
    # Libraries read either spelling, and differ in which one wins: both get all that was in either.
    texts = [os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    known = [host.strip() for text in texts for host in text.split(",") if host.strip()]
    both = ",".join(dict.fromkeys([*known, *HOSTS]))
    # A lone star means every host; in a list some libraries take it for a name.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*" if "*" in known else both
