"""Work ahead in a thread changes nothing but when it is done."""

import signal
import threading
import time
from functools import partial

import pytest

from lstm.windows.read.prefetch import Prefetcher


def calls(items):
    """Calls that give some items, each of which was made when its call was."""
    return (partial(lambda item: item, item) for item in items)


def at_once(prefetcher):
    """The next item for a consumer that is back at once, however slow this machine is."""
    prefetcher._left = float("inf")
    return prefetcher.next()


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_items_come_in_order_and_end(ahead):
    prefetcher = Prefetcher(calls(range(20)), ahead).start()
    assert [prefetcher.next() for _ in range(20)] == list(range(20))
    for _ in range(2):
        with pytest.raises(StopIteration):
            prefetcher.next()
    prefetcher.stop()


@pytest.mark.parametrize("ahead", [0, 3])
def test_what_the_iterator_raises_comes_after_the_items_before_it(ahead):
    def items():
        yield 1
        raise OSError("disk")

    prefetcher = Prefetcher(calls(items()), ahead).start()
    assert prefetcher.next() == 1
    with pytest.raises(OSError, match="disk"):
        prefetcher.next()
    prefetcher.stop()


def test_it_works_ahead_by_no_more_than_asked():
    made, enough = [], threading.Semaphore(0)

    def items():
        for number in range(100):
            made.append(number)
            enough.release()
            yield number

    prefetcher = Prefetcher(calls(items()), 2).start()
    for _ in range(2):
        assert enough.acquire(timeout=600)
    time.sleep(0.01)  # a consumer that is busy
    assert prefetcher.next() == 0
    assert enough.acquire(timeout=600)
    prefetcher.stop()
    assert made == [0, 1, 2]


def test_a_consumer_that_is_back_at_once_makes_items_beside_the_thread_and_others_find_them_made():
    makers, iterated = [], []

    def make(number):
        makers.append(threading.current_thread().name)
        return number

    def items():
        for number in range(100_000):
            iterated.append(threading.current_thread().name)
            yield partial(make, number)

    prefetcher = Prefetcher(items(), 2, lambda: True).start()
    own = threading.current_thread().name
    taken = [at_once(prefetcher), at_once(prefetcher)]
    assert iterated == makers == ["prefetch"] * 2
    while not {own, "prefetch"} <= set(makers[2:]):
        taken.append(at_once(prefetcher))
    assert own in iterated
    while prefetcher._asked < 2:
        time.sleep(0.01)
        taken.append(prefetcher.next())
    before = len(iterated) - iterated[::-1].index(own)
    taken += [prefetcher.next(), prefetcher.next()]
    assert iterated[before : before + 2] == ["prefetch"] * 2
    prefetcher.stop()
    assert taken == list(range(len(taken)))


def test_items_that_are_at_hand_are_made_by_two_at_once_and_no_more_than_asked_ahead():
    made, two = [], threading.Barrier(2)

    def make(number):
        if number in (3, 4):
            two.wait(60)  # until both threads are here
        made.append(number)
        return number

    prefetcher = Prefetcher((partial(make, number) for number in range(100)), 2, lambda: True).start()
    taken = []
    while len(taken) < 6:
        taken.append(at_once(prefetcher))
        assert len(prefetcher._jobs) <= 2
    prefetcher.stop()
    assert taken == list(range(6))
    assert max(made) <= 8


@pytest.mark.parametrize("hurried", [False, True])
@pytest.mark.parametrize("of", ["call", "iterator"])
def test_what_is_raised_for_items_at_hand_comes_after_the_items_before_it(of, hurried):
    def fail():
        raise OSError("disk")

    def items():
        yield from calls(range(4))
        if of == "iterator":
            fail()
        yield fail
        yield from calls(range(100))

    take = at_once if hurried else Prefetcher.next
    prefetcher = Prefetcher(items(), 3, lambda: True).start()
    assert [take(prefetcher) for _ in range(4)] == list(range(4))
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            take(prefetcher)
    prefetcher.stop()


def test_an_interrupt_is_told_at_once_also_where_it_comes_to_an_item_that_follows():
    """Else it waits for the next call, and is lost if none comes."""
    beside, go_on, makers = threading.Event(), threading.Event(), {}

    def make(number):
        makers[number] = threading.current_thread()
        if number == 2:  # not before the thread is at the next one
            assert beside.wait(60)
        elif number == 3:
            beside.set()
            assert go_on.wait(60)
        elif number == 4:
            go_on.set()
            raise KeyboardInterrupt
        return number

    prefetcher = Prefetcher((partial(make, number) for number in range(100)), 2, lambda: True).start()
    assert [at_once(prefetcher) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        at_once(prefetcher)
    prefetcher.stop()
    assert makers[3] is not makers[4] is threading.current_thread()


def test_stopping_ends_the_thread_at_once_while_nobody_takes():
    before = threading.active_count()
    prefetcher = Prefetcher(calls(range(100)), 1).start()
    assert prefetcher.next() == 0
    prefetcher.stop()
    assert threading.active_count() == before


def test_what_is_not_at_hand_is_made_by_the_thread_however_hurried_its_consumer():
    makers = []

    def items():
        for number in range(200):
            makers.append(threading.current_thread().name)
            yield number

    prefetcher = Prefetcher(calls(items()), 2).start()
    assert [prefetcher.next() for _ in range(200)] == list(range(200))
    prefetcher.stop()
    assert set(makers) == {"prefetch"}


@pytest.fixture
def ctrl_c():
    """As a program begins that is started by hand: an interrupt ends a wait for a lock at once.

    In a shell's background it is ignored; libraries install handlers after which the kernel resumes the wait.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before or signal.default_int_handler)


def test_an_interrupted_stop_is_over_no_sooner_than_the_thread(ctrl_c):
    began, go_on, done = threading.Event(), threading.Event(), []

    def items():
        began.set()
        go_on.wait(60)
        time.sleep(0.05)
        done.append(True)
        yield 1

    def interrupt():
        time.sleep(0.3)  # so that it waits for the thread
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    prefetcher = Prefetcher(calls(items()), 1).start()
    began.wait(60)
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        prefetcher.stop()
    interrupting.join()
    go_on.set()
    prefetcher.stop()
    assert done
