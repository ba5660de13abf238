"""Consoles that show text as it is: `timestamp[us]` is no markup, and lines are the reader's to wrap."""

import os
import shutil
import sys
from pathlib import Path

from rich.console import Console

_WIDTH = 160  # where there is no terminal: a file or a pipe has no edge


def console(*, stderr: bool = False) -> Console:
    """Standard output, for answers; standard error, for how a command gets on."""
    found = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not found.is_terminal:
        found.width = _WIDTH
    return found


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
