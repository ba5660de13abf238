"""Measure the same at several sizes, each in a process of its own, so that its memory is its own."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def named(size: int) -> str:
    """A size as figures name it: 1e6."""
    return f"{size:.0e}".replace("e+0", "e")


def alone(function: Callable[[int], dict[str, float]], size: int) -> dict[str, float]:
    """What a function gives in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, size).result()
