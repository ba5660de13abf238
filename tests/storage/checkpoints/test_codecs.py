"""Codecs give back every bit, and nothing that is stored can make them give more than was asked for."""

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.checkpoints import DTYPES, Damaged, UnsupportedRepository, codecs
from storage.checkpoints.codecs import CODECS, decode, encode

WIDTHS = {dtype: codecs.number_width(dtype) for dtype in DTYPES}


@st.composite
def chunks(draw):
    dtype = draw(st.sampled_from(sorted(DTYPES)))
    pattern = draw(st.binary(min_size=1, max_size=200))
    repeated = pattern * draw(st.integers(1, 40))
    size = max(1, len(repeated) // DTYPES[dtype]) * DTYPES[dtype]
    return dtype, (repeated * DTYPES[dtype])[:size]


@given(chunks())
@settings(max_examples=150, deadline=None)
def test_every_codec_gives_back_what_it_was_given(chunk):
    dtype, raw = chunk
    for name, codec in CODECS.items():
        stored = bytes(codec.encode(memoryview(raw), WIDTHS[dtype]))
        assert decode(name, dtype, stored, len(raw)) == raw
    name, stored = encode(dtype, memoryview(raw))
    assert decode(name, dtype, bytes(stored), len(raw)) == raw
    assert len(stored) <= len(raw)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_signed_zeros_and_nan_payloads_survive(dtype):
    width = WIDTHS[dtype]
    bits = {2: "<u2", 4: "<u4", 8: "<u8"}[width]
    top = 8 * width - 1
    special = np.array([1 << top, (1 << top) - 1, (1 << top) - 123, (1 << top) + 7, 0, 1], dtype=bits)
    raw = np.tile(special, 500).tobytes()
    name, stored = encode(dtype, memoryview(raw))
    assert name != "raw"
    assert decode(name, dtype, bytes(stored), len(raw)) == raw


def test_the_smallest_form_is_chosen():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(2**16).astype(np.float32)
    assert encode("uint8", memoryview(rng.bytes(2**16)))[0] == "raw"
    assert encode("float32", memoryview(weights.tobytes()))[0] == "planes-zstd"
    assert encode("uint8", memoryview(bytes(2**16)))[0] == "zstd"
    assert len(encode("float32", memoryview(weights.tobytes()))[1]) < 0.9 * weights.nbytes


def test_a_codec_that_does_not_give_back_its_bytes_is_caught_when_writing(monkeypatch):
    class Lossy(codecs.Zstd):
        def encode(self, raw, width):
            return super().encode(memoryview(bytes(len(raw))), width)

    monkeypatch.setitem(CODECS, "zstd", Lossy(1))
    with pytest.raises(AssertionError, match="zstd"):
        encode("uint8", memoryview(b"abcd" * 1000))


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
