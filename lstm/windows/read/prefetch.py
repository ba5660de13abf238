"""Run an iterator ahead in a thread, by a bounded number of items."""

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


_HANDED_OVER_S = 200e-6
"""A consumer that is back within so many seconds makes the next item itself, if that is at hand: to wake a
thread, and to share the interpreter with it, costs more than that."""


_LOOKED_AGAIN_S = 1e-3


def _never() -> bool:
    return False


class Prefetcher(Generic[T]):
    """Hands out what an iterator gives, in its order; what it raises, too.

    The thread touches the iterator only while items are `asked` of it, its consumer only while none are.
    """

    def __init__(self, items: Iterator[T], ahead: int, at_hand: Callable[[], bool] = _never) -> None:
        """Start to work ahead.

        Args:
            items: what is handed out.
            ahead: by at most so many items; 0: work when asked, in the caller's thread.
            at_hand: whether the next item can be made without a lock. An interrupt (Ctrl-C) reaches the
                consumer's thread alone, and where it comes while that thread takes a lock of `threading`
                the lock may never be free again.
        """
        self._items, self._ahead, self._at_hand = items, ahead, at_hand
        # Simple queues wait without the interpreter; a Condition would cost more than a small batch.
        self._ready: SimpleQueue[T | _Raised] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._raised: _Raised | None = None
        self._stopped = self._ended = False
        self._asked = 0
        """Items that the thread makes, or has made, and that nobody has taken."""
        self.waited_s = 0.0
        """Seconds that callers of `next` have waited."""
        self._left = time.perf_counter()
        self._thread: threading.Thread | None = None
        if ahead:
            self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
            self._thread.start()
            self._ask()

    def next(self) -> T:
        """The next item.

        Raises:
            StopIteration: there is none.
        """
        began = time.perf_counter()
        away_s = began - self._left
        try:
            item = self._raised or self._take()
            if isinstance(item, _Raised):
                self._raised = item  # for whoever asks again
                raise item.error
            if self._thread is not None and away_s > _HANDED_OVER_S:
                self._ask()
            return item
        finally:
            self._left = time.perf_counter()
            self.waited_s += self._left - began

    def stop(self) -> None:
        """End the thread; returns when it no longer touches the iterator."""
        self.abandon()
        if self._thread is not None:
            self._thread.join()
            while not self._ended:  # where an interrupt ended a wait for it, Python 3.11 takes it for ended
                time.sleep(_LOOKED_AGAIN_S)

    def abandon(self) -> None:
        """Have the thread end after the item that it is at, without waiting for it."""
        self._stopped = True
        self._room.put(None)

    def _take(self) -> "T | _Raised":
        if self._thread is None or (not self._asked and self._at_hand()):
            return self._make()
        if not self._asked:
            self._ask()
        item = self._ready.get()
        self._asked -= 1
        return item

    def _ask(self) -> None:
        """Have the thread work ahead."""
        while self._asked < self._ahead:
            self._asked += 1
            self._room.put(None)

    def _make(self) -> "T | _Raised":
        try:
            return next(self._items)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the item
            return _Raised(error)

    def _run(self) -> None:
        try:
            while True:
                self._room.get()
                if self._stopped:
                    return
                item = self._make()
                self._ready.put(item)
                if isinstance(item, _Raised):
                    return
        finally:
            self._ended = True


class Ahead(Generic[T]):
    """Items from a cursor on, made ahead; after `forget` they begin anew at another cursor."""

    def __init__(
        self, begin: Callable[[int, int], Iterator[T]], ahead: int, at_hand: Callable[[], bool] = _never
    ) -> None:
        """`begin` takes an epoch and how much of it was consumed; the others are a prefetcher's."""
        self._begin, self._ahead, self._at_hand = begin, ahead, at_hand
        self._prefetcher: Prefetcher[T] | None = None
        self._waited_before = 0.0
        self._forgetting = False

    def next(self, epoch: int, consumed: int) -> T:
        """The next item; the first one since `forget` is the one at this cursor. Raises as a prefetcher."""
        if self._forgetting:
            self.forget()  # what was interrupted while it waited for the thread
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self._begin(epoch, consumed), self._ahead, self._at_hand)
        return self._prefetcher.next()

    def forget(self) -> None:
        """Drop what was made ahead; returns when nothing is being made."""
        if self._prefetcher is not None:
            self._forgetting = True
            self._prefetcher.stop()
            self._waited_before += self._prefetcher.waited_s
            self._prefetcher = None
        self._forgetting = False

    def abandon(self) -> None:
        """As `forget`, where nobody will ask again; takes no lock and waits for nothing."""
        if self._prefetcher is not None:
            self._prefetcher.abandon()

    @property
    def waited_s(self) -> float:
        """Seconds that callers of `next` have waited so far."""
        return self._waited_before + (self._prefetcher.waited_s if self._prefetcher else 0.0)


class _Raised:
    """What the iterator raised, or its end."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
