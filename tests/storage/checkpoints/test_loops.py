"""The compiled loops and those in NumPy give the same bits, and refuse buffers that do not fit each other."""

import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.checkpoints import Damaged, codecs
from storage.checkpoints.codecs.compiled import VERSION, Compiled
from storage.checkpoints.codecs.plain import Plain

from ...compiled_source import compiled

WORDS_C = Path(codecs.__file__).with_name("words.c")
SOURCE = 5, 0xC4140561
"""Version of words.c, and the CRC-32 of that file."""
PLAIN, COMPILED = Plain(), Compiled.installed()
EITHER = pytest.mark.parametrize("loops", [it for it in (PLAIN, COMPILED) if it], ids=lambda it: it.name)
needs_compiler = pytest.mark.skipif(COMPILED is None, reason="no C compiler was there at installation")


@st.composite
def numbers(draw):
    """Words of some width, and others like them: equal, near, or noise."""
    width, count = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from((0, 1, 7, 8, 9, 100, 5000)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = np.frombuffer(rng.bytes(width * count), f"<u{width}")
    near = bits + rng.geometric(draw(st.sampled_from((0.01, 0.5, 1.0))), count).astype(bits.dtype)
    others = draw(st.sampled_from((bits, near, np.frombuffer(rng.bytes(width * count), f"<u{width}"))))
    contexts = rng.integers(0, draw(st.sampled_from((1, 3, 256))), count)
    return bits, others, contexts.astype(np.uint8)


def all_of(loops, bits, others, contexts, floats):
    """What each loop makes of the same numbers, and that its inverse undoes it."""
    residuals, lengths = loops.residuals(bits, others, floats=floats)
    low = loops.low_bits(residuals, lengths)
    assert (loops.from_low_bits(memoryview(low), lengths, bits.itemsize) == residuals).all()
    loops.restored(residuals, others, back := np.empty_like(bits), floats=floats)
    assert (back == bits).all()
    planes = loops.planes(bits)
    loops.from_planes(planes, back := np.empty_like(bits))
    assert (back == bits).all()
    highest, rest = loops.split(bits)
    loops.from_split(highest, rest, back := np.empty_like(bits))
    assert (back == bits).all()
    ordered = loops.by_context(lengths, contexts)
    assert (loops.from_context(ordered, contexts) == lengths).all()
    made = [residuals, lengths, planes, highest, rest, ordered, loops.histogram(lengths)]
    made += [loops.exponents(bits, 8 * bits.itemsize - 5, 4), loops.exponents(bits, 0, 8)]
    if bits.itemsize == 2:
        made.append(wide := loops.widened(bits))
        assert (loops.narrowed(wide) == bits).all()
    if bits.itemsize == 4:
        made.append(loops.narrowed(bits))
    return low, *(it.tobytes() for it in made)


@given(numbers(), st.booleans())
@settings(deadline=None)
def test_loops_in_numpy_undo_themselves(those, floats):
    all_of(PLAIN, *those, floats)


@needs_compiler
@given(numbers(), st.booleans())
@settings(deadline=None)
def test_compiled_loops_give_the_bits_of_those_in_numpy(those, floats):
    assert all_of(COMPILED, *those, floats) == all_of(PLAIN, *those, floats)


@EITHER
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_lengths_are_right_on_both_sides_of_every_power_of_two(loops, width):
    near = (2**power + by for power in range(8 * width) for by in (-1, 0, 1))
    numbers = sorted({it for it in near if 0 <= it < 2 ** (8 * width)} | {2 ** (8 * width) - 1})
    bits = np.array([it >> 1 if it % 2 == 0 else -1 - (it >> 1) for it in numbers], f"<i{width}").view(
        f"<u{width}"
    )
    residuals, lengths = loops.residuals(bits, np.zeros_like(bits), floats=False)
    assert residuals.tolist() == numbers
    assert lengths.tolist() == [it.bit_length() for it in numbers]


@EITHER
def test_bits_behind_the_last_residual_are_damage(loops):
    residuals = np.array([5, 6, 7], "<u4")
    lengths = np.full(3, 3, np.uint8)
    low = bytearray(loops.low_bits(residuals, lengths))
    low[-1] |= 1
    with pytest.raises(Damaged, match="behind the last"):
        loops.from_low_bits(memoryview(low), lengths, 4)


@needs_compiler
def test_compiled_loops_refuse_buffers_that_do_not_fit_each_other():
    four, three = np.arange(4, dtype="<u4"), np.arange(3, dtype="<u4")
    few, bytes_ = np.zeros(3, np.uint8), np.zeros(4, np.uint8)
    for call in (
        lambda: COMPILED.residuals(four, three, floats=True),
        lambda: COMPILED.residuals(four, four.astype("<u8"), floats=True),
        lambda: COMPILED.restored(four, three, four, floats=False),
        lambda: COMPILED.restored(four, four, three, floats=False),
        lambda: COMPILED.low_bits(four, few),
        lambda: COMPILED.low_bits(four, np.full(4, 33, np.uint8)),
        lambda: COMPILED.from_low_bits(memoryview(b"12"), np.full(3, 9, np.uint8), 4),
        lambda: COMPILED.from_low_bits(memoryview(bytes(99)), np.full(3, 65, np.uint8), 8),
        lambda: COMPILED.from_planes(np.zeros(7, np.uint8), four),
        lambda: COMPILED.from_split(few, np.zeros(12, np.uint8), four),
        lambda: COMPILED.from_split(bytes_, np.zeros(11, np.uint8), four),
        lambda: COMPILED.by_context(bytes_, few),
        lambda: COMPILED.from_context(few, bytes_),
        lambda: COMPILED.planes(np.arange(8, dtype="<u4")[::2]),
        lambda: COMPILED.widened(four),
        lambda: COMPILED.narrowed(four.astype("<u8")),
    ):
        with pytest.raises(ValueError, match=r"alike|bits|bytes|contiguous"):
            call()


def test_no_change_of_the_source_goes_without_another_version():
    """Else a library from before the change would still be loaded, here and on every host that has one."""
    now = zlib.crc32(WORDS_C.read_bytes())
    told = f"words.c has changed: raise its version there and in compiled.py, and write {now:#X} here"
    assert (VERSION, now) == SOURCE, told


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("change", [0, 1], ids=["this source", "another source"])
def test_only_a_library_of_this_version_is_loaded(tmp_path, change):
    library = compiled(WORDS_C, VERSION, change, tmp_path)
    if change:
        with pytest.raises(AttributeError, match="another source; install"):
            Compiled(library)
    else:
        assert Compiled(library).histogram(np.arange(3, dtype=np.uint8))[:3].tolist() == [1, 1, 1]
