"""Tell the user, once, that row groups are fetched again and again, and what would mend it."""

from lstm.training.events import emit

MANY_TIMES = 1.5
"""Fetches of a row group per epoch above which the user is told."""


class FetchNote:
    """Watches a rank's read amplification."""

    def __init__(self, memory_mib: int) -> None:
        """Of a rank that may hold `memory_mib` MiB of rows."""
        self._memory_mib = memory_mib
        self._told = False

    def watch(self, times: float) -> None:
        """Emit a `note` the first time that row groups are fetched more than MANY_TIMES per epoch."""
        if times > MANY_TIMES and not self._told:
            self._told = True
            emit(
                "note",
                message=f"each row group is fetched {times:.1f} times per epoch; a larger memory budget "
                f"(training.memory_mib, now {self._memory_mib}), a smaller order.pool or smaller row groups "
                "in the table would mend it in a new run, more ranks in this one too",
            )
