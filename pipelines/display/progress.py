"""What a user sees while ranks train: one bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lstm.training.events import Event

_LINE_EVERY_S = 10.0


def megabytes(count: float) -> str:
    """Bytes as MB with one decimal."""
    return f"{count / 1e6:.1f} MB"


def fetched(amplification: float) -> str:
    """How much of the table was read, in words: row groups fetched, against those that the epochs needed."""
    if amplification < 0.995:
        return f"{amplification:.0%} of the row groups needed were read, the others were still in memory"
    if amplification < 1.05:
        return "each row group was read once per epoch"
    return f"each row group was read {amplification:.1f} times per epoch"


class TrainingProgress:
    """Shows the events of one launch; used as a context and as its `on_event`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=None, figures="starting")
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        kind = event["event"]
        if kind == "started":
            self._started(event)
        elif kind == "progress":
            self._progress(event)
        elif kind == "note":
            self._say(event["message"])
        elif kind == "finished":
            self._bar.update(self._task, completed=event["step"])
            self._say(f"finished at step {event['step']} ({event['reason']}), commit {event['commit']}")
            if times := event["read_amplification"]:  # 0: nothing was left to train
                self._say(fetched(times))

    def _started(self, event: Event) -> None:
        self._bar.update(self._task, total=event["steps"], completed=event["step"], figures="")
        resumed = event["resumed_from"]
        if resumed is not None:
            self._say(f"resumed from {resumed} at step {event['step']} of {event['steps']}")
        for note in event["notes"]:
            self._say(note)

    def _progress(self, event: Event) -> None:
        figures = (
            f"loss {event['loss']:.4f} · {event['windows_per_s']:,.0f} windows/s · "
            f"{event['waiting_share']:.0%} waiting for data · "
            f"{megabytes(event['checkpoint_bytes'])} of checkpoints"
        )
        self._bar.update(self._task, completed=event["step"], figures=figures)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            self._say(f"step {event['step']}/{event['steps']} · {figures}")

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}")
