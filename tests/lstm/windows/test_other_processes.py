"""Threads do not go along when a process is forked, nor when something is pickled: said, never waited for."""

import copy
import os
import pickle
import signal
import warnings
from contextlib import ExitStack

import pytest

from lstm.windows import Mixture
from lstm.windows.errors import OtherProcess

from .drain import windows_of

_LONG_S = 20
"""After so long a child is taken to wait for ever."""


def in_a_fork(check):
    """Run a check in a child; its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is the point
        child = os.fork()
    if child == 0:
        signal.alarm(_LONG_S)
        try:
            check()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a child must end here
            print(repr(error))
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


KINDS = {
    "stream": lambda windows: windows.stream(batch_size=4),
    "in order": lambda windows: windows.stream(batch_size=4, ordered=True),
    "tracks": lambda windows: windows.tracks(tracks=2),
    "mixture": lambda windows: Mixture([windows], batch_size=4),
}


@pytest.mark.parametrize("opened", KINDS.values(), ids=KINDS)
def test_a_stream_that_was_forked_along_says_so(windows, opened):
    with opened(windows) as stream:
        length, batches = len(stream), iter(stream)
        next(batches)

        def use():
            for again in (
                lambda: next(batches),
                lambda: next(iter(stream)),
                lambda: stream.batch(0, 0),
                lambda: stream.set_epoch(3),
            ):
                with pytest.raises(OtherProcess, match="open one in each process"):
                    again()
            stream.close()

        assert in_a_fork(use) == 0
        assert len(list(batches)) == length - 1


@pytest.mark.parametrize("opened", KINDS.values(), ids=KINDS)
def test_a_stream_that_is_opened_in_a_fork_has_all_its_windows(windows, opened):
    with opened(windows) as stream:
        expected = [windows_of(batch) for batch in stream]
    with ExitStack() as stack:
        running = [stack.enter_context(opened(windows)) for _ in range(2)]
        for each in running:
            next(iter(each))

        def stream_anew():
            with opened(windows) as own:
                assert [windows_of(batch) for batch in own] == expected

        assert in_a_fork(stream_anew) == 0


def test_what_holds_threads_is_not_copied_without_a_word(windows):
    with ExitStack() as stack:
        held = [stack.enter_context(opened(windows)) for opened in KINDS.values()]
        for each in [windows, *held]:
            for go in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(OtherProcess, match="cannot be pickled or copied"):
                    go(each)


def test_a_batch_before_the_first_is_none(windows):
    with windows.stream(batch_size=4) as stream:
        for index in (-1, len(stream)):
            with pytest.raises(IndexError, match="the epoch has batches 0 to"):
                stream.batch(0, index)
