"""Memory as training's ranks have it, for whatever is compared with them."""

import os
import sys

from lstm.training.launch import ALLOCATOR


def in_trainings_memory(module: str) -> None:
    """Start over with the allocator's settings of training's ranks; glibc reads them when it starts."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        sys.stdout.flush()
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})
