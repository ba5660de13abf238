"""Decode `golden.json` with nothing but NumPy and zstandard: what another architecture's Python runs.

Packages are entered without their `__init__`, which would import all that the product needs. Prints a line of
JSON: on which machine, and the vectors that each decoder got wrong.
"""

import base64
import importlib
import json
import platform
import sys
import types
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def bare(*names):
    """Let these packages be imported from, without running their own code."""
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(ROOT / name.replace(".", "/"))]
        sys.modules[name] = module


def main():
    bare("storage", "storage.checkpoints", "tests", "tests.storage", "tests.storage.checkpoints")
    golden = importlib.import_module("tests.storage.checkpoints.write_golden")
    independent = importlib.import_module("tests.storage.checkpoints.independent_codecs")
    codecs = importlib.import_module("storage.checkpoints.codecs")
    wrong, count = {"ours": [], "independent": []}, 0
    for codec, by_dtype in json.loads(golden.GOLDEN.read_text()).items():
        scalars = golden.SCALARS[: codecs.CODECS[codec].scalars]
        for dtype, text in by_dtype.items():
            raw, bases = golden.chunk(dtype, codec)
            stored = base64.b64decode(text)
            decoded = {
                "ours": codecs.decode(codec, dtype, stored, len(raw), bases, scalars),
                "independent": independent.decode(codec, stored, dtype, len(raw), bases, scalars),
            }
            count += 1
            for who, got in decoded.items():
                if got != raw:
                    wrong[who].append(f"{codec} {dtype}")
    told = {"machine": platform.machine(), "byteorder": sys.byteorder, "vectors": count, "wrong": wrong}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
