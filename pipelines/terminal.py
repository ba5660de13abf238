"""Consoles that show text as it is: `timestamp[us]` is no markup, and lines are the reader's to wrap."""

from rich.console import Console

_WIDTH = 160  # where there is no terminal: a file or a pipe has no edge


def console(*, stderr: bool = False) -> Console:
    """Standard output, for answers; standard error, for how a command gets on."""
    found = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not found.is_terminal:
        found.width = _WIDTH
    return found
