"""Reach our own servers although the environment names a proxy: a proxy cannot reach our loopback.

Each HTTP library has rules of its own for when it looks at the environment (some before they can be told not
to, such as pyiceberg's for its first token), so the environment itself is mended, once per process.
"""

import os

HOSTS = ("127.0.0.1", "localhost", "::1")


def bypass_proxies() -> None:
    """Add the loopback's names to NO_PROXY of this process and of those it starts; keep what stands there."""
    # Libraries read either spelling, and differ in which one wins: both get all that was in either.
    texts = [os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    known = [host.strip() for text in texts for host in text.split(",") if host.strip()]
    both = ",".join(dict.fromkeys([*known, *HOSTS]))
    # A lone star means every host; in a list some libraries take it for a name.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*" if "*" in known else both
