"""Frameworks that are installed only by those who use them."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import UserError


class MissingFramework(UserError):
    """An adapter's framework is not installed."""


@contextmanager
def asked_for(module: str, extra: str, purpose: str) -> Iterator[None]:
    """Say how `module` is installed where it is missing. What it misses itself passes: its own fault."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module:
            raise
        raise MissingFramework(
            f"{purpose} needs {module}, which is not installed: pip install 'carousel-lstm[{extra}]'"
        ) from None
