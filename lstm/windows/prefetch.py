"""Run an iterator ahead in a thread, by a bounded number of items."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Hands out what an iterator gives, in its order; what it raises, too."""

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        """Start to work ahead by at most `ahead` items; 0: work when asked, in the caller's thread."""
        self._items, self._ahead = items, ahead
        self._ready: deque[T] = deque()
        self._error: BaseException | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self.waited_s = 0.0
        """Seconds that callers of `next` have waited."""
        self._thread: threading.Thread | None = None
        if ahead:
            self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
            self._thread.start()

    def next(self) -> T:
        """The next item.

        Raises:
            StopIteration: there is none.
        """
        began = time.perf_counter()
        try:
            if self._thread is None:
                return next(self._items)
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._error)
                if self._ready:
                    self._changed.notify_all()
                    return self._ready.popleft()
                assert self._error is not None
                raise self._error
        finally:
            self.waited_s += time.perf_counter() - began

    def stop(self) -> None:
        """End the thread; returns when it no longer touches the iterator."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or len(self._ready) < self._ahead)
                    if self._stopped:
                        return
                item = next(self._items)
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the item
            with self._changed:
                self._error = error
                self._changed.notify_all()
