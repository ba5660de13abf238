"""What was predicted in a thread that flushes subnormals, or rounds its own way, is restored in others."""

import ctypes
import platform
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from storage.checkpoints import InexactArithmetic
from storage.checkpoints.codecs import Prediction, decode, encode, float_environment

BASES = tuple(
    (np.random.default_rng(seed).standard_normal(2**14).astype(np.float32) * scale).tobytes()
    for seed, scale in ((0, np.float32(3e-38)), (1, np.float32(1)))
)
SCALARS = (0.01,)
"""A second moment whose elements decay to subnormal numbers."""


@pytest.fixture
def flushing():
    """A thread that flushes subnormals to zero, as a trainer's may."""
    with ThreadPoolExecutor(1, initializer=lambda: torch.set_flush_denormal(True)) as thread:
        if not thread.submit(torch.set_flush_denormal, True).result():
            pytest.skip("this processor cannot flush subnormals")
        yield thread


def chunk() -> bytes:
    """The very numbers that are predicted, as a processor that keeps subnormals has them."""
    return (np.frombuffer(BASES[0], np.float32) * np.float32(SCALARS[0])).tobytes()


def stored(raw: bytes):
    """Encoded beside the prediction."""
    encoded = encode("float32", raw, [Prediction("second-moment-decayed", BASES, SCALARS)])
    assert encoded.codec == "second-moment-decayed"
    return bytes(encoded.stored)


def restored(encoded: bytes, size: int) -> bytes:
    """Decoded."""
    return decode("second-moment-decayed", "float32", encoded, size, BASES, SCALARS)


def test_a_thread_that_flushes_subnormals_stores_what_others_restore(flushing):
    assert restored(flushing.submit(stored, chunk()).result(), len(chunk())) == chunk()


def test_a_thread_that_flushes_subnormals_restores_what_others_stored(flushing):
    assert flushing.submit(restored, stored(chunk()), len(chunk())).result() == chunk()


def test_the_thread_goes_on_flushing_afterwards(flushing):
    flushing.submit(stored, chunk()).result()
    assert flushing.submit(lambda: float_environment._is_ieee_754()).result() is False


@pytest.fixture(params=[0x400, 0x800, 0xC00], ids=["down", "up", "towards zero"])
def rounding(request):
    """A thread that rounds otherwise than to the nearest number; FE_DOWNWARD and so on of x86-64."""
    if platform.machine() != "x86_64":
        pytest.skip("the constants are those of x86-64")
    with ThreadPoolExecutor(1, initializer=lambda: ctypes.CDLL(None).fesetround(request.param)) as thread:
        yield thread


def test_a_thread_that_rounds_its_own_way_stores_and_restores_what_others_do(rounding):
    assert rounding.submit(lambda: float_environment._is_ieee_754()).result() is False
    assert rounding.submit(stored, chunk()).result() == stored(chunk())
    assert rounding.submit(restored, stored(chunk()), len(chunk())).result() == chunk()
    assert rounding.submit(lambda: float_environment._is_ieee_754()).result() is False


def _no_library(name):
    raise TypeError("no library of the process itself, as on Windows")


@pytest.mark.parametrize("library", [lambda name: object(), _no_library], ids=["no function", "no library"])
def test_where_subnormals_cannot_be_kept_nothing_is_predicted_wrongly(flushing, monkeypatch, library):
    monkeypatch.setattr(float_environment.ctypes, "CDLL", library)
    with pytest.raises(InexactArithmetic, match="set_flush_denormal"):
        flushing.submit(stored, chunk()).result()
