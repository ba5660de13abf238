"""Write `golden.json`: chunks in each codec's stored form, which every machine must decode alike.

Run by `python -m tests.storage.checkpoints.write_golden` in the project's root; once, when a codec is new.
"""

import base64
import json
from pathlib import Path

import numpy as np

from storage.checkpoints.codecs import CODECS, fits
from storage.checkpoints.codecs.alone import number_width

from .fixed_bytes import bits

GOLDEN = Path(__file__).with_name("golden.json")
DTYPES = ("bfloat16", "float16", "float32", "float64", "int32", "uint8")
SCALARS = (0.9, 0.1, 0.999, 0.001)
COUNT = 200


def chunk(dtype: str, codec: str) -> tuple[bytes, tuple[bytes, ...]]:
    """A chunk, half of it near to its first base, and its bases: any bits, subnormals and NaN among them."""
    width = number_width(dtype)
    bases = tuple(bits(COUNT * width, seed) for seed in range(CODECS[codec].bases))
    first = np.frombuffer(bases[0] if bases else bits(COUNT * width, 9), f"<u{width}")
    steps = np.frombuffer(bits(COUNT, 50), np.uint8).astype(first.dtype) // 16
    near = np.where(
        np.arange(COUNT) % 2 == 0, first + steps, np.frombuffer(bits(COUNT * width, 77), first.dtype)
    )
    return near.astype(f"<u{width}").tobytes(), bases


def main() -> None:
    """Replace the file."""
    golden: dict[str, dict[str, str]] = {}
    for name, codec in CODECS.items():
        for dtype in DTYPES:
            if fits(name, dtype):
                raw, bases = chunk(dtype, name)
                stored = bytes(codec.encode(raw, dtype, bases, SCALARS[: codec.scalars]))
                golden.setdefault(name, {})[dtype] = base64.b64encode(stored).decode()
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
