"""Frameworks that are extras: their tests run where they are installed, and else say that they are not."""

import warnings

import pytest

FIELDS = ("values", "times", "series", "starts", "positions", "epoch", "index", "size")


def needs(module, extra):
    """Skip the test where a framework is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the framework's own parts, while it is imported
        return pytest.importorskip(
            module, reason=f"{module} is not installed: pip install 'carousel-lstm[{extra}]'"
        )


def exact(item):
    """An item of any framework as bytes, by field."""
    import numpy as np

    return {name: np.ascontiguousarray(np.asarray(value)).tobytes() for name, value in item.items()}
