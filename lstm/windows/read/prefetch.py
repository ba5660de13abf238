"""Make items ahead in a thread, by a bounded number; for a consumer in a hurry, two threads make them.

An iterator gives *calls*, and an item is what a call gives. The iterator is for one thread at a time; calls
of items that are at hand may be made by several at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, NoReturn, Self, TypeVar

T = TypeVar("T")
Call = Callable[[], T]
"""Gives an item; made once."""

_HANDED_OVER_S = 200e-6
"""A consumer that is back within so many seconds makes items that are at hand itself, too: to wake a thread,
and to share the interpreter with it, costs more than one of them."""
_LOOKED_AGAIN_S = 1e-3


def _never() -> bool:
    return False


class Prefetcher(Generic[T]):
    """Hands out items in the iterator's order; what it or a call raises, too.

    The thread touches the iterator only while items are `asked` of it, the consumer only while none are.
    """

    def __init__(self, calls: Iterator[Call[T]], ahead: int, at_hand: Callable[[], bool] = _never) -> None:
        """Prepare to work ahead.

        Args:
            calls: give the items.
            ahead: so many items at most are made before they are asked for; 0: work when asked, in the
                caller's thread.
            at_hand: whether the next call can be had and made without a lock, at once with those before
                it. An interrupt (Ctrl-C) reaches the consumer's thread alone, and where it comes while that
                thread takes a lock of `threading` the lock may never be free again.
        """
        self._calls, self._ahead, self._at_hand = calls, ahead, at_hand
        # Simple queues wait without the interpreter; a Condition would cost more than a small batch.
        self._ready: SimpleQueue[T | _Raised] = SimpleQueue()
        self._todo: SimpleQueue[_Job[T] | None] = SimpleQueue()
        """Of the thread; None: the iterator's next item."""
        self._jobs: deque[_Job[T]] = deque()
        """Items that follow, all of them at hand."""
        self._raised: _Raised | None = None
        self._stopped = self._ended = False
        self._asked = 0
        """Items that the thread takes, or has taken, from the iterator, and that nobody has taken."""
        self.waited_s = 0.0
        """Seconds that callers of `next` have waited."""
        self._left = time.perf_counter()
        self._thread: threading.Thread | None = None
        """Once it has started: where an interrupt comes before, it has nothing to do but to end."""

    def start(self) -> Self:
        """Begin to work ahead. Whoever calls it must be able to `stop` it if an interrupt comes."""
        if self._ahead:
            thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
            thread.start()
            self._thread = thread
            self._ask()
        return self

    def next(self) -> T:
        """The next item.

        Raises:
            StopIteration: there is none.
        """
        began = time.perf_counter()
        hurried = began - self._left <= _HANDED_OVER_S
        try:
            item = self._raised or self._take(hurried)
            if isinstance(item, _Raised):
                self._raised = item  # for whoever asks again
                raise item.error
            if self._thread is not None and not hurried and not self._jobs:
                self._ask()
            return item
        finally:
            self._left = time.perf_counter()
            self.waited_s += self._left - began

    def stop(self) -> None:
        """End the thread; returns when it no longer touches the iterator, nor makes an item."""
        self.abandon()
        if self._thread is not None:
            self._thread.join()
            while not self._ended:  # where an interrupt ended a wait for it, Python 3.11 takes it for ended
                time.sleep(_LOOKED_AGAIN_S)

    def abandon(self) -> None:
        """Have the thread end after the item that it is at, without waiting for it."""
        self._stopped = True
        self._todo.put(None)

    def _take(self, hurried: bool) -> "T | _Raised":
        if self._thread is None:
            return self._make()
        if not self._asked:
            if hurried:
                self._share()
            if self._jobs:
                return self._shared()
            if self._at_hand():
                return self._make()
            self._ask()
        item = self._ready.get()
        self._asked -= 1
        return item

    def _share(self) -> None:
        """Have the thread make items that are at hand, while the consumer makes those before them."""
        while len(self._jobs) <= self._ahead and self._at_hand():
            try:
                call = next(self._calls)
            except Exception as error:  # noqa: BLE001 - told when those before it are taken
                call = _Raised(error).again
            self._jobs.append(job := _Job(call))
            if len(self._jobs) > 1:
                self._todo.put(job)

    def _shared(self) -> "T | _Raised":
        """The first of the shared items. While the thread makes it, the consumer makes one that follows."""
        job = self._jobs.popleft()
        if not job.make() and not job.made:
            any(following.make(Exception) for following in self._jobs)  # an interrupt is of this call
        return job.outcome()

    def _ask(self) -> None:
        """Have the thread work ahead."""
        while self._asked < self._ahead:
            self._asked += 1
            self._todo.put(None)

    def _make(self) -> "T | _Raised":
        return _outcome(lambda: next(self._calls)())

    def _run(self) -> None:
        try:
            while True:
                job = self._todo.get()
                if self._stopped:
                    return
                if job is not None:
                    job.make()
                    continue
                item = self._make()
                self._ready.put(item)
                if isinstance(item, _Raised):
                    return
        finally:
            self._ended = True


class Ahead(Generic[T]):
    """Items from a cursor on, made ahead; after `forget` they begin anew at another cursor."""

    def __init__(
        self, begin: Callable[[int, int], Iterator[Call[T]]], ahead: int, at_hand: Callable[[], bool] = _never
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
            self._prefetcher.start()
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
    """What a call raised, or the end of the iterator."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def again(self) -> NoReturn:
        """Raise it."""
        raise self.error


class _Job(Generic[T]):
    """An item that is made by the first thread that comes."""

    def __init__(self, call: Call[T]) -> None:
        self._calls = [call]
        self._outcomes: SimpleQueue[T | _Raised] = SimpleQueue()

    def make(self, kept: type[BaseException] = BaseException) -> bool:
        """Make it; False: another thread does, or has. What the call raises is raised here if not `kept`."""
        try:
            call = self._calls.pop()  # by one thread alone: no lock is needed
        except IndexError:
            return False
        self._outcomes.put(_outcome(call, kept))
        return True

    @property
    def made(self) -> bool:
        """Whether nobody has to be waited for."""
        return not self._outcomes.empty()

    def outcome(self) -> "T | _Raised":
        """What came of it, when it is made; for one taker."""
        return self._outcomes.get()


def _outcome(call: Call[T], kept: type[BaseException] = BaseException) -> "T | _Raised":
    try:
        return call()
    except kept as error:  # handed to whoever waits for the item
        return _Raised(error)
