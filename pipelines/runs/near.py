"""Names that somebody may have meant who asked for a run that is not there."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from storage.checkpoints import HeadLost, Repository, RunMissing

_SHOWN = 5


@contextmanager
def asked_for(run: str, repository: Repository) -> Iterator[None]:
    """Add to the error about a run that is not there which runs are.

    Raises:
        HeadLost: as the block does.
        RunMissing: as the block does, with names to choose from.
    """
    try:
        yield
    except HeadLost:  # it is there, and its error says how it comes back
        raise
    except RunMissing as error:
        raise RunMissing(f"{error}; {hint(run, repository.runs())}") from error


def hint(run: str, known: Iterable[str]) -> str:
    """Which runs there are instead of `run`, the likeliest first."""
    names = sorted(known)
    if not names:
        return "there is none yet: carousel train"
    near = difflib.get_close_matches(run, names, n=_SHOWN, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    rest = f" and {len(names) - _SHOWN} more (carousel checkpoints list)" if len(names) > _SHOWN else ""
    return f"there are {', '.join(names[:_SHOWN])}{rest}"
