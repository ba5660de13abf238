"""What a user sees while something takes its time: a spinner or a bar on a terminal, else a line every 10 s.

Nothing of it is an answer, so all of it goes to standard error; `--quiet` silences it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pipelines.display.terminal import console

LINE_EVERY_S = 10.0
"""How often a line tells that it still goes on, where no terminal shows it."""


class Sized(Protocol):
    """Something that comes in pieces of known size, as a batch of windows does."""

    def __len__(self) -> int: ...


SizedT = TypeVar("SizedT", bound=Sized)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that `what` ("starting the S3 server") goes on while the block runs; a terminal keeps no trace."""
    with _shown(what, None):
        yield


def counted(batches: Iterable[SizedT], what: str, total: int, unit: str) -> Iterator[SizedT]:
    """The same batches, while a bar counts what is in them.

    Args:
        batches: what is gone through.
        what: what is done with them ("measuring the model").
        total: sum of their sizes.
        unit: what is counted ("windows").
    """
    with _shown(what, total, unit) as shown:
        for batch in batches:
            yield batch
            shown.add(len(batch))


@contextmanager
def told(what: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show what the yielded function is told: what is being done, how much of it, of how much."""
    with _shown(what, None) as shown:
        yield shown.tell


class _Shown:
    """One activity on a console; a thread of its own speaks where no terminal is redrawn."""

    def __init__(self, notes: Console, what: str, total: int | None, unit: str) -> None:
        self._notes, self._what, self._total, self._unit = notes, what, total, unit
        self._done, self._began, self._over = 0, time.monotonic(), threading.Event()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if notes.is_terminal and not notes.quiet:
            columns = [SpinnerColumn(), TextColumn("{task.description}")]
            if total is not None:
                columns += [BarColumn(bar_width=24), TextColumn("{task.completed:,.0f}/{task.total:,.0f}")]
                columns.append(TextColumn(unit))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=notes, transient=True)
            self._task = self._bar.add_task(what, total=total)
        self._speaker = threading.Thread(target=self._speak, name="waiting", daemon=True)

    def start(self) -> None:
        if self._bar is not None:
            self._bar.start()
        elif not self._notes.quiet:
            self._speaker.start()

    def stop(self) -> None:
        self._over.set()
        if self._bar is not None:
            self._bar.stop()
        elif self._speaker.is_alive():
            self._speaker.join()

    def add(self, count: int) -> None:
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def tell(self, what: str, done: int, total: int | None) -> None:
        self._what, self._done, self._total = what, done, total
        if self._bar is not None:
            far = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            self._bar.update(self._task, description=f"{what}: {far}")

    def _speak(self) -> None:
        while not self._over.wait(LINE_EVERY_S):
            total = "" if self._total is None else f" of {self._total:,}"
            far = f" {self._done:,}{total} {self._unit}".rstrip() + "," if self._done or total else ""
            self._notes.print(f"  {self._what} ...{far} {time.monotonic() - self._began:.0f} s")


@contextmanager
def _shown(what: str, total: int | None, unit: str = "") -> Iterator[_Shown]:
    shown = _Shown(console(stderr=True), what, total, unit)
    shown.start()
    try:
        yield shown
    finally:
        shown.stop()
