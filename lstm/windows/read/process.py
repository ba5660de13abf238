"""What does not go along into another process: threads, and whatever they were at when it was forked off."""

import os
from typing import NoReturn

from lstm.windows.errors import OtherProcess

_REMEDY = (
    "open one in each process, after that has started, with a rank of its own (stream(…, rank=…, ranks=…)), "
    "and give it a cursor (state_dict()) where it is to go on"
)


class Home:
    """The process in which something was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def left(self) -> bool:
        """Whether this is another one, that was forked off it."""
        return os.getpid() != self._pid

    def check(self) -> None:
        """Raise OtherProcess in another one: to wait there for the threads of a stream would never end."""
        if self.left:
            raise OtherProcess(
                "this stream was opened before the process was forked, and the threads that read for it did "
                f"not come along (a DataLoader with workers forks); {_REMEDY}"
            )


def refuse_to_travel(what: str) -> NoReturn:
    """Raise OtherProcess: `what` can neither be pickled nor copied."""
    raise OtherProcess(f"{what} cannot be pickled or copied: threads and memory belong to it; {_REMEDY}")
