"""Windows copied by the compiled loop and by NumPy are the same bits, and refused alike."""

import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm.windows import arrays
from lstm.windows.arrays.compiled import VERSION, Copies
from lstm.windows.arrays.gather import Windows, gather

from ...compiled_source import compiled

COPIES_C = Path(arrays.__file__).with_name("copies.c")
SOURCE = 2, 0xDB8B74E1
"""Version of copies.c, and the CRC-32 of that file."""
COMPILED = Copies.installed()
needs_compiler = pytest.mark.skipif(COMPILED is None, reason="no C compiler was there at installation")
EITHER = pytest.mark.parametrize("copies", [it for it in (None, COMPILED) if it or it is None])


@st.composite
def rows_and_starts(draw):
    """Rows of some shape and type, a length, and starts of windows, of which none need be within the rows."""
    dtype = draw(st.sampled_from(("<f4", "<i8", "u1", "<f8", "V3")))
    shape = draw(st.sampled_from(((), (1,), (7,), (0,), (3, 2), (300,))))
    count = draw(st.sampled_from((0, 1, 2, 9, 700)))
    length = draw(st.sampled_from((1, 2, 5, 120)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = int(np.prod((count, *shape))) * np.dtype(dtype).itemsize
    rows = np.frombuffer(rng.bytes(size), dtype).reshape(count, *shape)
    beyond = draw(st.sampled_from((0, 0, 0, 1)))
    high = count - length + 1 + beyond
    starts = rng.integers(-beyond, max(high, 1), draw(st.integers(0, 40)))
    return rows, length, starts[:: draw(st.sampled_from((1, 2)))]


@needs_compiler
@given(rows_and_starts())
def test_compiled_copies_are_those_of_numpy_and_refuse_the_same(those):
    rows, length, starts = those
    told = []
    for copies in (None, COMPILED):
        try:
            found = Windows(rows, length, copies).gather(starts)
        except IndexError as error:
            told.append(str(error))
        else:
            assert found.flags.c_contiguous
            assert found.flags.writeable
            told.append((found.shape, found.dtype, found.tobytes()))
    assert told[0] == told[1]


@EITHER
@pytest.mark.parametrize("starts", [[-1], [0, 7], [2**62], [-(2**63)]])
def test_a_window_beyond_the_rows_is_refused(copies, starts):
    windows = Windows(np.arange(10), 4, copies)
    assert windows.gather(np.array([6, 0]))[:, 0].tolist() == [6, 0]
    with pytest.raises(IndexError, match=r"windows of 4 rows start at rows .* of 10"):
        windows.gather(np.array(starts))


@EITHER
def test_rows_that_do_not_lie_end_to_end_are_copied_too(copies):
    rows = np.arange(60, dtype=np.float32).reshape(10, 6)[::2, ::3]
    assert np.array_equal(Windows(rows, 2, copies).gather(np.array([3, 0])), [rows[3:5], rows[:2]])


def test_rows_live_as_long_as_their_windows():
    windows = Windows(np.arange(1_000_000), 3)
    others = [np.zeros(1_000_000, np.int64) for _ in range(3)]
    assert windows.gather(np.array([999_997])).tolist() == [[999_997, 999_998, 999_999]]
    assert len(others) == len(gather(np.arange(3), np.array([0, 1, 2]), 1))


def test_no_change_of_the_source_goes_without_another_version():
    """Else a library from before the change would still be loaded, here and on every host that has one."""
    now = zlib.crc32(COPIES_C.read_bytes())
    told = f"copies.c has changed: raise its version there and in compiled.py, and write {now:#X} here"
    assert (VERSION, now) == SOURCE, told


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("change", [0, 1], ids=["this source", "another source"])
def test_only_a_library_of_this_version_is_loaded(tmp_path, change):
    library = compiled(COPIES_C, VERSION, change, tmp_path)
    if change:
        with pytest.raises(AttributeError, match="another source; install"):
            Copies(library)
    else:
        windows = Windows(np.arange(5), 2, Copies(library))
        assert windows.gather(np.array([3, 1])).tolist() == [[3, 4], [1, 2]]
