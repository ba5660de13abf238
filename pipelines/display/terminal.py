"""Consoles that show text as it is: `timestamp[us]` is no markup, and lines are the reader's to wrap."""

import os
import shutil
import sys
from pathlib import Path

from rich.console import Console

_WIDTH = 160  # where there is no terminal: a file or a pipe has no edge
_silenced = False


def console(*, stderr: bool = False) -> Console:
    """Standard output, for answers; standard error, for how a command gets on (silent under `--quiet`)."""
    quiet = stderr and _silenced
    found = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, quiet=quiet)
    if not found.is_terminal:
        found.width = _WIDTH
    return found


def silence_notes(silent: bool) -> None:
    """Whether consoles on standard error print nothing from now on, for all of this process: `--quiet`."""
    global _silenced
    _silenced = silent


def warn(text: str) -> None:
    """Say on standard error what a person must know, also under `--quiet`."""
    sys.stderr.write(f"  warning: {text}\n")
    sys.stderr.flush()


def program() -> str:
    """How the `carousel` command is called from this folder: by name, or by path where it is not on PATH."""
    here = Path(sys.argv[0])
    if here.name != "carousel" or shutil.which("carousel") == str(here.absolute()):
        return "carousel"
    return short(here)


def short(path: Path) -> str:
    """A path as people would type it from this folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
