"""Libraries in C that the installation compiles where it can; where it cannot, NumPy does the same."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def load(path: Path, version: int) -> ctypes.CDLL:
    """The library `_<name>.…`, whose function `<name>_version` tells which source it was compiled from.

    Raises:
        OSError, AttributeError: it is not ours, or of another source.
    """
    library = ctypes.CDLL(str(path))
    name = path.name.partition(".")[0].removeprefix("_")
    if getattr(library, f"{name}_version")() != version:
        raise AttributeError(f"{path} was compiled from another source; install the project anew")
    return library


def installed(folder: Path, name: str, made: Callable[[Path], T]) -> T | None:
    """What is `made` of the library `_<name>.…` in a folder; None: there is none, or none fits this host."""
    for path in sorted(folder.glob(f"_{name}.*")):
        try:
            return made(path)
        except (OSError, AttributeError):
            continue
    return None
