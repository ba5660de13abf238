"""(Signatures first.) The newest context of every series, to forecast what does not exist yet."""

from dataclasses import dataclass

from lstm.windows.batch import Batch
from lstm.windows.plan import Plan
from lstm.windows.read import WindowReader


@dataclass(frozen=True, slots=True)
class LastContexts:
    """A batch whose horizons lie in the future, and the series that are too short for one."""

    batch: Batch
    """values: NaN in the horizon; times: extrapolated by the series' own interval."""
    skipped: tuple[str | int | None, ...]
    """Series whose newest segment has fewer than `context` rows."""


def last_contexts(plan: Plan, reader: WindowReader) -> LastContexts:
    """The last `context` rows of the newest segment of every series."""
    raise NotImplementedError
