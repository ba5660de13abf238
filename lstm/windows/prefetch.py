"""Run an iterator ahead in a thread, by a bounded number of items."""

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Hands out what an iterator gives, in its order; what it raises, too."""

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        """Start to work ahead by at most `ahead` items; 0: work when asked, in the caller's thread."""
        self._items = items
        # Simple queues wait without the interpreter; a Condition would cost more than a small batch.
        self._ready: SimpleQueue[T | _Raised] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._raised: _Raised | None = None
        self._stopped = False
        self.waited_s = 0.0
        """Seconds that callers of `next` have waited."""
        self._thread: threading.Thread | None = None
        if ahead:
            for _ in range(ahead):
                self._room.put(None)
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
            item = self._raised or self._ready.get()
            if isinstance(item, _Raised):
                self._raised = item  # for whoever asks again
                raise item.error
            self._room.put(None)
            return item
        finally:
            self.waited_s += time.perf_counter() - began

    def stop(self) -> None:
        """End the thread; returns when it no longer touches the iterator."""
        self._stopped = True
        self._room.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._room.get()
                if self._stopped:
                    return
                self._ready.put(next(self._items))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the item
            self._ready.put(_Raised(error))


class Ahead(Generic[T]):
    """Items from a cursor on, made ahead; after `forget` they begin anew at another cursor."""

    def __init__(self, begin: Callable[[int, int], Iterator[T]], ahead: int) -> None:
        """`begin` takes an epoch and how much of it was consumed; `ahead` is a prefetcher's."""
        self._begin, self._ahead = begin, ahead
        self._prefetcher: Prefetcher[T] | None = None
        self._waited_before = 0.0

    def next(self, epoch: int, consumed: int) -> T:
        """The next item; the first one since `forget` is the one at this cursor. Raises as a prefetcher."""
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self._begin(epoch, consumed), self._ahead)
        return self._prefetcher.next()

    def forget(self) -> None:
        """Drop what was made ahead; returns when nothing is being made."""
        if self._prefetcher is not None:
            self._prefetcher.stop()
            self._waited_before += self._prefetcher.waited_s
            self._prefetcher = None

    @property
    def waited_s(self) -> float:
        """Seconds that callers of `next` have waited so far."""
        return self._waited_before + (self._prefetcher.waited_s if self._prefetcher else 0.0)


class _Raised:
    """What the iterator raised, or its end."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
