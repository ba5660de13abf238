"""Wait for many futures by waking once: each time that a thread wakes it waits for the interpreter, too."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any


def wait_for(futures: "Sequence[Future[Any]]") -> None:
    """Wait until all futures are done or cancelled, or one of them has failed.

    `concurrent.futures.wait` does not see that a future is cancelled before its executor takes it up.
    """
    left, lock, enough = len(futures), threading.Lock(), threading.Event()

    def count(future: "Future[Any]") -> None:
        nonlocal left
        with lock:
            left -= 1
            if not left or (not future.cancelled() and future.exception()):
                enough.set()

    for future in futures:
        future.add_done_callback(count)
    if futures:
        enough.wait()
