"""The loops over a chunk's numbers as words.c has them, which the installation compiles where it can."""

import ctypes
import sys
from pathlib import Path
from typing import Self

import numpy as np

from storage.checkpoints.codecs.loops import Bytes, Loops, Words, low_sizes
from storage.checkpoints.codecs.plain import Plain
from storage.checkpoints.errors import Damaged
from storage.compiled_library import installed, load

_SIGNATURES = {
    "residuals": "ppppni",
    "restored": "pppni",
    "low_bits": "ppnppp",
    "from_low_bits": "ppnppp",
    "exponents": "ppnii",
    "planes": "ppn",
    "from_planes": "ppn",
    "split": "pppn",
    "from_split": "pppn",
}
_OF_ONE_WIDTH = {
    "widened": "ppn",
    "narrowed": "ppn",
    "histogram": "pnp",
    "by_context": "ppnpp",
    "from_context": "ppnpp",
}
VERSION = 5
"""Of words.c, where the same number stands, so that no library of another source is loaded. A test knows the
source of this version, and asks for the next number when that changes."""
_TYPES = {"p": ctypes.c_void_p, "n": ctypes.c_size_t, "i": ctypes.c_int}


class Compiled:
    """See `Loops`. Sizes are checked here, as the library trusts its caller."""

    name = "compiled"

    def __init__(self, path: Path) -> None:
        """Load the library. Raises OSError, AttributeError: it is not ours, or of another source."""
        library = load(path, VERSION)
        self._functions = {}
        widths = {f"{name}_{width}": types for name, types in _SIGNATURES.items() for width in (1, 2, 4, 8)}
        for name, types in (widths | _OF_ONE_WIDTH).items():
            function = getattr(library, name)
            function.argtypes = [_TYPES[it] for it in types]
            function.restype = ctypes.c_int if name.startswith("from_low_bits") else None
            self._functions[name] = function

    @classmethod
    def installed(cls) -> Self | None:
        """The library beside this module; None where there is none, or it does not fit this host."""
        if sys.byteorder != "little":
            return None
        return installed(Path(__file__).parent, "words", cls)

    def residuals(self, bits: Words, prediction: Words, *, floats: bool) -> tuple[Words, Bytes]:
        """See `Loops`."""
        _check_alike(bits, prediction)
        residuals, lengths = np.empty(len(bits), bits.dtype), np.empty(len(bits), np.uint8)
        self._call("residuals", bits.itemsize, bits, prediction, residuals, lengths, len(bits), floats)
        return residuals, lengths

    def restored(self, residuals: Words, prediction: Words, into: Words, *, floats: bool) -> None:
        """See `Loops`."""
        _check_alike(residuals, prediction)
        _check_alike(residuals, into)
        self._call("restored", into.itemsize, residuals, prediction, into, len(into), floats)

    def low_bits(self, residuals: Words, lengths: Bytes) -> bytes:
        """See `Loops`."""
        _check_as_many(residuals, lengths)
        counts = self.histogram(lengths)
        _check_lengths(counts, residuals.itemsize)
        stored = np.empty(sum(low_sizes(counts.tolist())), np.uint8)
        room = np.empty_like(residuals)
        self._call("low_bits", residuals.itemsize, residuals, lengths, len(residuals), counts, room, stored)
        return stored.tobytes()

    def from_low_bits(self, stored: memoryview, lengths: Bytes, width: int) -> Words:
        """See `Loops`."""
        counts = self.histogram(lengths)
        _check_lengths(counts, width)
        data = np.frombuffer(stored, np.uint8)
        if len(data) != (size := sum(low_sizes(counts.tolist()))):
            raise ValueError(f"{len(data)} bytes are not the {size} that residuals of these lengths take")
        residuals = np.empty(len(lengths), np.dtype(f"<u{width}"))
        room = np.empty_like(residuals)
        if self._call("from_low_bits", width, data, lengths, len(lengths), counts, room, residuals):
            raise Damaged("bits are set behind the last residual")
        return residuals

    def exponents(self, bits: Words, shift: int, width: int) -> Bytes:
        """See `Loops`."""
        exponents = np.empty(len(bits), np.uint8)
        self._call("exponents", bits.itemsize, bits, exponents, len(bits), shift, (1 << width) - 1)
        return exponents

    def widened(self, halves: Words) -> Words:
        """See `Loops`."""
        _check_width(halves, 2)
        wide = np.empty(len(halves), np.uint32)
        self._call("widened", 0, halves, wide, len(halves))
        return wide

    def narrowed(self, wide: Words) -> Words:
        """See `Loops`."""
        _check_width(wide, 4)
        halves = np.empty(len(wide), np.uint16)
        self._call("narrowed", 0, wide, halves, len(wide))
        return halves

    def planes(self, bits: Words) -> Bytes:
        """See `Loops`."""
        planes = np.empty(bits.nbytes, np.uint8)
        self._call("planes", bits.itemsize, bits, planes, len(bits))
        return planes

    def from_planes(self, planes: Bytes, into: Words) -> None:
        """See `Loops`."""
        _check_planes(planes, into, into.itemsize)
        self._call("from_planes", into.itemsize, planes, into, len(into))

    def split(self, bits: Words) -> tuple[Bytes, Bytes]:
        """See `Loops`."""
        highest = np.empty(len(bits), np.uint8)
        planes = np.empty(bits.nbytes - len(bits), np.uint8)
        self._call("split", bits.itemsize, bits, highest, planes, len(bits))
        return highest, planes

    def from_split(self, highest: Bytes, planes: Bytes, into: Words) -> None:
        """See `Loops`."""
        _check_as_many(highest, into)
        _check_planes(planes, into, into.itemsize - 1)
        self._call("from_split", into.itemsize, highest, planes, into, len(into))

    def by_context(self, symbols: Bytes, contexts: Bytes) -> Bytes:
        """See `Loops`."""
        _check_as_many(symbols, contexts)
        ordered = np.empty(len(symbols), np.uint8)
        self._call("by_context", 0, symbols, contexts, len(symbols), self.histogram(contexts), ordered)
        return ordered

    def from_context(self, symbols: Bytes, contexts: Bytes) -> Bytes:
        """See `Loops`."""
        _check_as_many(symbols, contexts)
        back = np.empty(len(symbols), np.uint8)
        self._call("from_context", 0, symbols, contexts, len(symbols), self.histogram(contexts), back)
        return back

    def histogram(self, values: Bytes) -> Words:
        """See `Loops`."""
        counts = np.empty(256, np.uint64)
        self._call("histogram", 0, values, len(values), counts)
        return counts

    def _call(self, name: str, width: int, *arguments: "Words | int") -> int | None:
        for it in arguments:
            if isinstance(it, np.ndarray) and not it.flags.c_contiguous:
                raise ValueError(f"an array of strides {it.strides} is not contiguous")
        passed = [it.ctypes.data if isinstance(it, np.ndarray) else it for it in arguments]
        outcome: int | None = self._functions[f"{name}_{width}" if width else name](*passed)
        return outcome


def _check_alike(one: Words, other: Words) -> None:
    if one.dtype != other.dtype or one.shape != other.shape:
        raise ValueError(f"{one.shape} {one.dtype} and {other.shape} {other.dtype} are not alike")


def _check_as_many(one: Words, other: Words) -> None:
    if one.shape != other.shape:
        raise ValueError(f"{one.shape} and {other.shape} are not alike")


def _check_planes(planes: Bytes, numbers: Words, each: int) -> None:
    if len(planes) != each * len(numbers):
        raise ValueError(f"{len(planes)} bytes are not {each} planes of {len(numbers)} numbers")


def _check_width(numbers: Words, width: int) -> None:
    if numbers.itemsize != width:
        raise ValueError(f"numbers of {numbers.itemsize} bytes are not of {width}")


def _check_lengths(counts: Words, width: int) -> None:
    if counts[8 * width + 1 :].any():
        raise ValueError(f"numbers of {width} bytes have no more than {8 * width} bits")


LOOPS: Loops = Compiled.installed() or Plain()
"""Those that this host has."""
