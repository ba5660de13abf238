"""What was stored once is decoded to the same bits everywhere: `golden.json`, made by `write_golden.py`."""

import base64
import json

import pytest

from storage.checkpoints.codecs import CODECS, decode

from .write_golden import GOLDEN, SCALARS, chunk

STORED = json.loads(GOLDEN.read_text())
CASES = [(codec, dtype) for codec, by_dtype in STORED.items() for dtype in by_dtype]


@pytest.mark.parametrize(("codec", "dtype"), CASES)
def test_golden_vectors_decode_to_the_same_bits(codec, dtype):
    raw, bases = chunk(dtype, codec)
    stored = base64.b64decode(STORED[codec][dtype])
    assert decode(codec, dtype, stored, len(raw), bases, SCALARS[: CODECS[codec].scalars]) == raw


def test_every_codec_has_golden_vectors():
    assert STORED.keys() == CODECS.keys()
