"""Bytes that hardly repeat take no more than their frequencies say, and those that do repeat take less."""

import numpy as np
import pytest
import zstandard

from storage.checkpoints.codecs import CODECS, encode
from storage.checkpoints.codecs.symbols import compress_groups, repeats

RNG = np.random.default_rng(7)
EXPONENTS = (np.frexp(RNG.standard_normal(2**18))[1] + 60).astype(np.uint8)
"""As of normal numbers."""


def size(symbols):
    return sum(map(len, compress_groups(symbols, [len(symbols)])))


def test_exponents_take_less_than_at_zstds_own_levels():
    least = min(len(zstandard.ZstdCompressor(level=level).compress(EXPONENTS.data)) for level in (1, 3))
    share = np.bincount(EXPONENTS) / len(EXPONENTS)
    entropy = -sum(it * np.log2(it) for it in share if it) / 8
    assert size(EXPONENTS) < 0.95 * least
    assert size(EXPONENTS) < 1.03 * entropy * len(EXPONENTS)


def test_long_repetitions_are_found_among_many_bytes():
    row = EXPONENTS[:2000]
    assert size(np.tile(row, 130)) < 0.1 * size(EXPONENTS[: 130 * 2000])


@pytest.mark.parametrize("count", [1, 100, 2**18])
def test_equal_bytes_take_next_to_nothing(count):
    assert size(np.full(count, 3, np.uint8)) < 40


def test_each_group_is_a_frame_of_its_own():
    counts = [0, 1, 70_000, 2**18 - 70_001]
    frames = compress_groups(EXPONENTS, counts)
    decoded = [zstandard.ZstdDecompressor().decompress(frame) for frame in frames]
    assert [len(it) for it in decoded] == counts
    assert b"".join(decoded) == EXPONENTS.tobytes()


NOISE = RNG.standard_normal(2**18).astype(np.float32)


def test_repetitions_are_told_from_noise():
    assert not repeats(NOISE[: 2**16].data)
    assert repeats(np.tile(NOISE[:1000], 60).data)


@pytest.mark.parametrize(
    "numbers",
    [
        NOISE,
        np.tile(NOISE[:1001], 261),
        np.where(np.arange(2**18) % 512 < 64, np.float32(0), NOISE),
        np.where(np.arange(2**18) % 4096 < 900, np.float32(0), NOISE),
        NOISE[RNG.integers(0, 16, 2**18)],
        np.repeat(NOISE[: 2**15], 8),
    ],
    ids=("noise", "rows", "short gaps", "long gaps", "few values", "runs"),
)
def test_floats_take_no_more_than_plain_zstd_even_where_that_is_not_tried(numbers):
    plain = CODECS["zstd"].encode(numbers.data.cast("B"), "float32", (), ())
    assert len(encode("float32", numbers.data.cast("B")).stored) <= len(plain)
