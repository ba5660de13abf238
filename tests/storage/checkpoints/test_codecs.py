"""Codecs give back every bit, and nothing that is stored can make them give more than was asked for."""

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.checkpoints import DTYPES, Damaged, UnsupportedRepository
from storage.checkpoints.codecs import CODECS, Prediction, decode, encode, fits
from storage.checkpoints.codecs.alone import Zstd, number_width

SCALARS = (0.9, 0.1, 0.999, 0.001)


@st.composite
def chunks(draw):
    """A dtype, a chunk, and three others of its size: noise, or like it."""
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    count = draw(st.sampled_from((0, 1, 3, 40, 5000)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = count * DTYPES[dtype]
    pattern = draw(st.binary(min_size=1, max_size=16))
    raw = rng.bytes(size) if draw(st.booleans()) else (pattern * size)[:size]
    bases = tuple(raw if draw(st.booleans()) else rng.bytes(size) for _ in range(3))
    return dtype, raw, bases


@pytest.mark.parametrize("name", sorted(CODECS))
@given(chunk=chunks())
@settings(max_examples=40, deadline=None)
def test_every_codec_gives_back_what_it_was_given(name, chunk):
    dtype, raw, others = chunk
    codec = CODECS[name]
    if fits(name, dtype):
        bases, scalars = others[: codec.bases], SCALARS[: codec.scalars]
        stored = bytes(codec.encode(raw, dtype, bases, scalars))
        assert decode(name, dtype, stored, len(raw), bases, scalars) == raw


@given(chunk=chunks())
@settings(max_examples=60, deadline=None)
def test_what_is_chosen_is_never_larger_than_the_chunk(chunk):
    dtype, raw, (base, *_) = chunk
    encoded = encode(dtype, raw, [Prediction("difference", (base,))])
    bases = () if encoded.prediction is None else (base,)
    assert decode(encoded.codec, dtype, bytes(encoded.stored), len(raw), bases) == raw
    assert len(encoded.stored) <= len(raw)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("name", ["difference", "split", "split-by", "adam", "second-moment"])
def test_signed_zeros_infinities_and_nan_payloads_survive(dtype, name):
    if not fits(name, dtype):
        return
    width = number_width(dtype)
    bits = {2: "<u2", 4: "<u4", 8: "<u8"}[width]
    top = 8 * width - 1
    special = np.array([1 << top, (1 << top) - 1, (1 << top) - 123, (1 << top) + 7, 0, 1], dtype=bits)
    raw, base = np.tile(special, 500).tobytes(), np.tile(special[::-1], 500).tobytes()
    bases, scalars = (base,) * CODECS[name].bases, SCALARS[: CODECS[name].scalars]
    stored = bytes(CODECS[name].encode(raw, dtype, bases, scalars))
    assert decode(name, dtype, stored, len(raw), bases, scalars) == raw


def test_the_smallest_form_is_chosen():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(2**16).astype(np.float32)
    later = (weights + rng.standard_normal(2**16).astype(np.float32) * np.float32(1e-3)).tobytes()
    assert encode("uint8", rng.bytes(2**16)).codec == "raw"
    assert encode("uint8", bytes(2**16)).codec == "zstd"
    alone = encode("float32", later)
    assert (alone.codec, alone.prediction) in (("split", None), ("planes-zstd", None))
    assert len(alone.stored) < 0.9 * len(later)
    offered = [Prediction("difference", (rng.bytes(2**18),)), Prediction("difference", (weights.tobytes(),))]
    beside = encode("float32", later, offered)
    assert (beside.codec, beside.prediction) == ("difference", 1)
    assert len(beside.stored) < 0.8 * len(alone.stored)


def test_a_repository_of_format_1_gets_only_codecs_that_its_programs_know():
    weights = np.random.default_rng(0).standard_normal(2**17).astype(np.float32).tobytes()
    encoded = encode("float32", weights, [Prediction("difference", (weights,))], format_=1)
    assert encoded.codec == "planes-zstd"


def test_a_codec_that_does_not_give_back_its_bytes_is_caught_when_writing(monkeypatch):
    class Lossy(Zstd):
        def encode(self, raw, dtype, bases, scalars):
            return super().encode(bytes(len(raw)), dtype, bases, scalars)

    monkeypatch.setitem(CODECS, "zstd", Lossy())
    with pytest.raises(AssertionError, match="zstd"):
        encode("uint8", b"abcd" * 1000)


def bomb(claimed: int, actual: int) -> bytes:
    """A frame of zeros that claims another size."""
    frame = bytearray(zstandard.ZstdCompressor(level=1).compress(bytes(actual)))
    assert frame[4] == 0x80  # a window byte, then four bytes of content size
    frame[6:10] = claimed.to_bytes(4, "little")
    return bytes(frame)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"no frame at all",
        bomb(2**32 - 1, 2**20),
        bomb(1000, 2**20),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000)),
        zstandard.ZstdCompressor().compress(bytes(1000)) + b"more",
        zstandard.ZstdCompressor().compress(bytes(1000))[:-3],
        zstandard.ZstdCompressor().compress(bytes(1001)),
    ],
)
@pytest.mark.parametrize("codec", ["zstd", "planes-zstd"])
def test_hostile_frames_fail_cleanly(stored, codec):
    with pytest.raises(Damaged):
        decode(codec, "float32", stored, 1000)


def test_raw_bytes_of_a_wrong_size_are_damaged():
    with pytest.raises(Damaged):
        decode("raw", "uint8", b"12345", 4)


def test_an_unknown_codec_asks_for_a_newer_version():
    with pytest.raises(UnsupportedRepository, match=r"'xor'.*newer version"):
        decode("xor", "uint8", b"", 0)


BASE = np.arange(10_000, dtype=np.float32).tobytes()


def given_to(name: str) -> tuple[tuple[bytes, ...], tuple[float, ...]]:
    """Bases and scalars for a codec."""
    return (BASE,) * CODECS[name].bases, SCALARS[: CODECS[name].scalars]


STORED = {
    name: bytes(codec.encode(BASE[::-1], "float32", *given_to(name)))
    for name, codec in CODECS.items()
    if codec.format == 2
}


@pytest.mark.parametrize("name", sorted(STORED))
@pytest.mark.parametrize("hostile", [b"", b"\xff" * 3, b"\xff" * 5000, "cut", "more", "bent"])
def test_hostile_residuals_fail_cleanly(name, hostile):
    stored = STORED[name]
    bent = {"cut": stored[:-1], "more": stored + b"x", "bent": b"\xff\xff\xff\xff" + stored[4:]}
    wrong = bent[hostile] if isinstance(hostile, str) else hostile
    with pytest.raises(Damaged):
        decode(name, "float32", wrong, len(BASE), *given_to(name))
