"""Frameworks that are extras: their tests run where they are installed, and else say that they are not."""

import warnings

import pytest

from lstm.windows import TableWindows

from ..conftest import in_groups, sorted_table

FIELDS = ("values", "times", "series", "starts", "positions", "epoch", "index", "size")


def needs(module, extra):
    """Skip the test where a framework is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the framework's own parts, while it is imported
        return pytest.importorskip(
            module, reason=f"{module} is not installed: pip install 'carousel-lstm[{extra}]'"
        )


@pytest.fixture
def windows(two_series):
    """Two series of 40 hours, 38 training windows."""
    snapshot = in_groups(sorted_table(), 25)
    plan, reader = two_series(snapshot=snapshot)
    return TableWindows(snapshot, plan, reader)


def exact(item):
    """An item of any framework as bytes, by field."""
    import numpy as np

    return {name: np.ascontiguousarray(np.asarray(value)).tobytes() for name, value in item.items()}
