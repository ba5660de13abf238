"""Cursors: what every stream checks before it goes on from one."""

import operator
from collections.abc import Mapping
from typing import Any, SupportsIndex

from lstm.windows.errors import CursorMismatch


def check_cursor(state: Mapping[str, Any], own: Mapping[str, Any], holder: str) -> tuple[int, int]:
    """The epoch of a cursor, and how much of it was consumed: its last two entries. The others must agree.

    Args:
        state: what an earlier `state_dict` gave.
        own: what the stream's gives now.
        holder: "this stream has", for messages.

    Raises:
        CursorMismatch: it is none, or another stream's, or holds a number that is not whole.
    """
    if not isinstance(state, Mapping):
        raise CursorMismatch(f"a cursor is what state_dict() returned, got {state!r}")
    if state.keys() != own.keys():
        raise CursorMismatch(f"a cursor has {', '.join(own)}, but this one has {', '.join(state)}")
    *fixed, epoch, consumed = own
    for name in fixed:
        given = _whole(state, name) if isinstance(own[name], int) else state[name]
        if given != own[name]:
            raise CursorMismatch(
                f"the cursor was taken with {name} {state[name]}, but {holder} {own[name]}; "
                "resume with the run's own config, or start a new run"
            )
    return _whole(state, epoch), _whole(state, consumed)


def epoch_number(epoch: SupportsIndex) -> int:
    """Raise ValueError where it is negative, and TypeError where it is not whole."""
    if (number := operator.index(epoch)) < 0:
        raise ValueError(f"epochs count from 0, got {number}")
    return number


def _whole(state: Mapping[str, Any], name: str) -> int:
    """A number of a cursor. An epoch of 1.0 equals 1, yet would key another order."""
    try:
        return operator.index(state[name])
    except TypeError:
        raise CursorMismatch(
            f"a cursor's {name} is a whole number, but this one's is {state[name]!r}; give back what "
            "state_dict() returned"
        ) from None
