"""The compiled loops and NumPy find the same windows, and copy the same bits; they refuse alike."""

import math
import shutil
import zlib
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm.windows import WindowStream, arrays
from lstm.windows.arrays.compiled import VERSION, Loops
from lstm.windows.arrays.gather import Windows, gather
from lstm.windows.order import order
from lstm.windows.order.order import EpochOrder
from lstm.windows.read import pools

from ...compiled_source import compiled

LOOPS_C = Path(arrays.__file__).with_name("loops.c")
SOURCE = 1, 0xB3D01E93
"""Version of loops.c, and the CRC-32 of that file."""
COMPILED = Loops.installed()
needs_compiler = pytest.mark.skipif(COMPILED is None, reason="no C compiler was there at installation")
EITHER = pytest.mark.parametrize("loops", [None, COMPILED] if COMPILED else [None])


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
    for loops in (None, COMPILED):
        try:
            found = Windows(rows, length, loops).gather(starts)
        except IndexError as error:
            told.append(str(error))
        else:
            assert found.flags.c_contiguous
            assert found.flags.writeable
            told.append((found.shape, found.dtype, found.tobytes()))
    assert told[0] == told[1]


@EITHER
@pytest.mark.parametrize("starts", [[-1], [0, 7], [2**62], [-(2**63)]])
def test_a_window_beyond_the_rows_is_refused(loops, starts):
    windows = Windows(np.arange(10), 4, loops)
    assert windows.gather(np.array([6, 0]))[:, 0].tolist() == [6, 0]
    with pytest.raises(IndexError, match=r"windows of 4 rows start at rows .* of 10"):
        windows.gather(np.array(starts))


@EITHER
def test_rows_that_do_not_lie_end_to_end_are_copied_too(loops):
    rows = np.arange(60, dtype=np.float32).reshape(10, 6)[::2, ::3]
    assert np.array_equal(Windows(rows, 2, loops).gather(np.array([3, 0])), [rows[3:5], rows[:2]])


def test_rows_live_as_long_as_their_windows():
    windows = Windows(np.arange(1_000_000), 3)
    others = [np.zeros(1_000_000, np.int64) for _ in range(3)]
    assert windows.gather(np.array([999_997])).tolist() == [[999_997, 999_998, 999_999]]
    assert len(others) == len(gather(np.arange(3), np.array([0, 1, 2]), 1))


@st.composite
def epochs(draw):
    """The order of an epoch: lanes with alike, or with very different, numbers of windows; also with none."""
    counts = draw(st.lists(st.one_of(st.just(7), st.integers(1, 200)), min_size=1, max_size=40))
    lanes = draw(st.sampled_from((1, 2, 7, 48)))
    return EpochOrder(np.array(counts), lanes=lanes, pool=3, seed=draw(st.integers(0, 9)), epoch=0)


@needs_compiler
@given(epochs(), st.data())
def test_compiled_loops_merge_lanes_as_numpy_does(epoch, data):
    start = data.draw(st.integers(0, epoch.windows), "start")
    stop = data.draw(st.integers(start, epoch.windows), "stop")
    with patch.object(order, "MOST_PASSED", math.inf):
        compiled = epoch.merge(start, stop)
    with patch.object(order, "LOOPS", None):
        plain = epoch.merge(start, stop)
    for one, other in zip(astuple(compiled), astuple(plain), strict=True):
        assert one.tolist() == other.tolist()


@needs_compiler
def test_lanes_too_uneven_or_too_long_for_the_compiled_loop_are_merged_all_the_same(monkeypatch):
    epoch = EpochOrder(np.arange(1, 30), lanes=8, pool=2, seed=0, epoch=0)
    expected = astuple(epoch.merge(3, 400))
    for limit, at in (("MOST_PASSED", 0), ("_FLOATS_DIFFER", 3)):
        with monkeypatch.context() as patched:
            patched.setattr(order, limit, at)
            assert all(map(np.array_equal, astuple(epoch.merge(3, 400)), expected))
    with pytest.raises(AssertionError, match="fewer windows are left"):
        COMPILED.merge(np.array([2, 1]), np.array([1, 1]), 0, 2)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40).filter(any))
def test_windows_pass_as_many_lanes_as_are_told(n):
    windows = sorted((Fraction(2 * i + 1, 2 * own), lane) for lane, own in enumerate(n) for i in range(own))
    waiting, steps = {lane: (Fraction(1, 2 * own), lane) for lane, own in enumerate(n) if own}, 0
    for key, lane in windows:
        waiting[lane] = key + Fraction(1, n[lane]), lane
        steps += sum(other > waiting[lane] for other in waiting.values())
    assert order.passed(np.array(n)) == pytest.approx(steps / len(windows))


@needs_compiler
def test_lanes_that_differ_much_are_left_to_numpy_and_others_are_not():
    """One lane of a million windows among 1024 took 12 ms of 16,384 windows; NumPy takes 0.4."""
    uneven = EpochOrder(np.array([10**6] + [1] * 1023), lanes=1024, pool=1, seed=0, epoch=0)
    even = EpochOrder(np.arange(900, 1100).repeat(100), lanes=1024, pool=1, seed=0, epoch=0)
    for epoch, calls in ((uneven, 0), (even, 1)):
        with patch.object(Loops, "merge", autospec=True, side_effect=Loops.merge) as merge:
            epoch.merge(5000, 6000)
        assert merge.call_count == calls


@needs_compiler
@given(st.integers(0, 2**32), st.sampled_from((np.int32, np.int64)), st.sampled_from((0, 1, 3, 30)))
def test_compiled_loops_look_up_windows_as_far_as_they_are_known(seed, number, away):
    rng = np.random.default_rng(seed)
    size = rng.integers(0, 20, 5)
    first, origin = rng.integers(0, 50, 5), np.cumsum(size) - size
    known = tuple(rng.integers(0, 2**31, size.sum()).astype(number) for _ in range(3))
    lanes = np.repeat(np.arange(5), size)
    indices = np.concatenate([np.arange(n) for n in size]) + first[lanes]
    mixed = rng.permutation(len(lanes))
    lanes, indices = lanes[mixed], indices[mixed]
    stop = len(lanes)
    if away < len(lanes):  # one window beyond what is known of its lane, or before it
        indices[away], stop = first[lanes[away]] + rng.choice([-1, size[lanes[away]]]), away
    places = (origin - first)[lanes[:stop]] + indices[:stop]
    found = COMPILED.look_up(lanes, indices, (first, size, origin - first), known)
    assert [it.tolist() for it in found] == [it[places].tolist() for it in known]


@needs_compiler
@pytest.mark.parametrize("number", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("step", [1, 2])
def test_compiled_loops_take_numbers_of_any_width_and_apart(number, step):
    """NumPy's own are of 32 bits on some hosts; read as 64 they would point anywhere."""
    n, first = (
        np.repeat(np.array([3, 2], number), step)[::step],
        np.repeat(np.array([1, 0], number), step)[::step],
    )
    lanes, indices = COMPILED.merge(n, first, 1, 3)
    assert (lanes.tolist(), indices.tolist()) == ([0, 1, 0], [1, 1, 2])
    known = tuple(np.arange(5, dtype=np.int32) + at for at in (0, 10, 20))
    spans = tuple(np.array(it) for it in ([0, 0], [3, 2], [0, 3]))
    lanes, indices = (
        np.repeat(lanes.astype(number), step)[::step],
        np.repeat(indices.astype(number), step)[::step],
    )
    found = COMPILED.look_up(lanes, indices, spans, known)
    assert [it.tolist() for it in found] == [[1, 4, 2], [11, 14, 12], [21, 24, 22]]


@needs_compiler
def test_a_stream_gives_the_same_without_compiled_loops(two_series, monkeypatch):
    told = []
    for loops in (COMPILED, None):
        monkeypatch.setattr(order, "LOOPS", loops)
        monkeypatch.setattr(pools, "LOOPS", loops)
        plan, reader = two_series()
        with WindowStream(plan, reader, "train", seed=3, batch_size=4) as stream:
            told.append([(it.positions.tolist(), it.series.tolist(), it.starts.tolist()) for it in stream])
    assert told[0] == told[1]
    assert len(told[0]) > 1


def test_no_change_of_the_source_goes_without_another_version():
    """Else a library from before the change would still be loaded, here and on every host that has one."""
    now = zlib.crc32(LOOPS_C.read_bytes())
    told = f"loops.c has changed: raise its version there and in compiled.py, and write {now:#X} here"
    assert (VERSION, now) == SOURCE, told


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("change", [0, 1], ids=["this source", "another source"])
def test_only_a_library_of_this_version_is_loaded(tmp_path, change):
    library = compiled(LOOPS_C, VERSION, change, tmp_path)
    if change:
        with pytest.raises(AttributeError, match="another source; install"):
            Loops(library)
    else:
        windows = Windows(np.arange(5), 2, Loops(library))
        assert windows.gather(np.array([3, 1])).tolist() == [[3, 4], [1, 2]]
