"""JAX would cut 64-bit integers in silence; here it either holds them or says so."""

import pytest

from lstm.windows.adapters import as_jax
from lstm.windows.errors import WindowError

from .conftest import exact, needs


@pytest.fixture(autouse=True)
def jax():
    return needs("jax", "jax")


def test_times_that_do_not_fit_are_refused_with_what_helps(windows):
    with windows.stream(batch_size=7) as stream, pytest.raises(WindowError, match="jax_enable_x64"):
        next(iter(as_jax(stream, ["times"])))


def test_times_come_whole_where_jax_holds_them(windows, jax):
    with windows.stream(batch_size=7) as stream, jax.enable_x64(True):
        item = next(iter(as_jax(stream, ["times"])))
        assert exact(item)["times"] == stream.batch(0, 0).times.tobytes()
