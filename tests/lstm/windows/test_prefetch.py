"""Work ahead in a thread changes nothing but when it is done."""

import signal
import threading
import time

import pytest

from lstm.windows.read.prefetch import Prefetcher


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_items_come_in_order_and_end(ahead):
    prefetcher = Prefetcher(iter(range(20)), ahead)
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

    prefetcher = Prefetcher(items(), ahead)
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

    prefetcher = Prefetcher(items(), 2)
    for _ in range(2):
        assert enough.acquire(timeout=600)
    time.sleep(0.01)  # a consumer that is busy
    assert prefetcher.next() == 0
    assert enough.acquire(timeout=600)
    prefetcher.stop()
    assert made == [0, 1, 2]


def test_a_consumer_that_is_back_at_once_makes_its_items_itself_and_others_find_them_made():
    makers = []

    def items():
        for number in range(1000):
            makers.append(threading.current_thread().name)
            yield number

    prefetcher = Prefetcher(items(), 2, lambda: True)
    taken = [prefetcher.next() for _ in range(500)]
    own = threading.current_thread().name
    assert makers[:2] == ["prefetch"] * 2
    assert own in makers
    while prefetcher._asked < 2:  # unless this machine is too slow to be back at once
        time.sleep(0.01)
        taken.append(prefetcher.next())
    before = len(makers) - makers[::-1].index(own) if own in makers else 0
    taken += [prefetcher.next(), prefetcher.next()]
    assert makers[before : before + 2] == ["prefetch"] * 2
    prefetcher.stop()
    assert taken == list(range(len(taken)))


def test_stopping_ends_the_thread_at_once_while_nobody_takes():
    before = threading.active_count()
    prefetcher = Prefetcher(iter(range(100)), 1)
    assert prefetcher.next() == 0
    prefetcher.stop()
    assert threading.active_count() == before


def test_what_is_not_at_hand_is_made_by_the_thread_however_hurried_its_consumer():
    makers = []

    def items():
        for number in range(200):
            makers.append(threading.current_thread().name)
            yield number

    prefetcher = Prefetcher(items(), 2)
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

    prefetcher = Prefetcher(items(), 1)
    began.wait(60)
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        prefetcher.stop()
    interrupting.join()
    go_on.set()
    prefetcher.stop()
    assert done
