"""Tracks: each window once, each contiguous, the same batches at any number of ranks, from any cursor."""

from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import (
    OrderSpec,
    SplitSpec,
    TrackStream,
    WindowReader,
    WindowSpec,
)
from lstm.windows.errors import BudgetTooSmall, CursorMismatch, TooManyRanks
from lstm.windows.order.track_order import Stretches

from .drain import windows_of
from .reference_order import permuted
from .tables import COLUMNS, naive_windows, samples
from .test_exactly_once import plan_for

WINDOWS = st.builds(
    WindowSpec, context=st.integers(1, 4), horizon=st.integers(1, 2), stride=st.integers(1, 4)
)


SPLIT, ORDER = SplitSpec(validation=0, test=0.2), OrderSpec(lanes=4)


def drained(plan, reader, *, ranks, tracks, epochs=1, state=None, seed=5):
    """[(epoch, index, size, windows, resets)] of the global batches, windows by track."""
    parts = []
    with ExitStack() as stack:
        for rank in range(ranks):
            stream = stack.enter_context(
                TrackStream(plan, reader, tracks=tracks, seed=seed, rank=rank, ranks=ranks)
            )
            if state is not None:
                stream.load_state_dict(state)
            parts.append([batch for _ in range(epochs) for batch in stream])
    found = []
    for same in zip(*parts, strict=True):
        assert all((batch.track % ranks == rank).all() for rank, batch in enumerate(same))
        rows = sorted(
            (int(track), bool(reset), window)
            for batch in same
            for track, reset, window in zip(batch.track, batch.reset, windows_of(batch), strict=True)
        )
        assert len(rows) == same[0].size
        found.append((same[0].epoch, same[0].index, rows))
    return found


@given(samples(), WINDOWS, st.sampled_from([None, 1, 2]), st.integers(1, 6), st.data())
@settings(deadline=None, max_examples=80)
def test_each_window_comes_once_and_tracks_go_on_where_they_were(sample, window, max_gap, tracks, data):
    plan = plan_for(sample, window, SPLIT, ORDER, max_gap)
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    ranks = data.draw(st.integers(1, tracks))
    expected = naive_windows(sample.rows, window, max_gap, plan.splits["train"])
    batches = drained(plan, reader, ranks=ranks, tracks=tracks, epochs=2)
    for epoch in (0, 1):
        last, seen = {}, []
        for _, index, rows in (batch for batch in batches if batch[0] == epoch):
            for track, reset, (position, series, start, times, values) in rows:
                assert position == index * tracks + track
                assert (times, values) == tuple(part.tobytes() for part in expected[series, start])
                goes_on = last.get(track) == (series, start - window.stride)
                assert goes_on or reset, "a track jumps, but does not say so"
                last[track] = series, start
                seen.append((series, start))
        assert sorted(seen) == sorted(expected)


@given(samples(), WINDOWS, st.integers(1, 5), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_stretches_go_to_tracks_as_the_rule_says(sample, window, tracks, epoch):
    plan = plan_for(sample, window, SPLIT, ORDER)
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    stretches = Stretches.of(plan, "train", tracks)
    every = [
        [start + place * window.stride for place in range(count)]
        for start, count in zip(stretches.start.tolist(), stretches.windows.tolist(), strict=True)
    ]
    held = [[] for _ in range(tracks)]
    for stretch in permuted(every, [5, epoch]):
        held[min(range(tracks), key=lambda track: (len(held[track]), track))] += stretch
    with TrackStream(plan, reader, tracks=tracks, seed=5) as stream:
        stream.set_epoch(epoch)
        found = [[] for _ in range(tracks)]
        for batch in stream:
            logical = plan.segments.series_first[batch.series] + batch.starts
            for track, row in zip(batch.track.tolist(), logical.tolist(), strict=True):
                found[track].append(row)
    assert found == held


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_a_cursor_goes_on_with_exactly_the_rest_at_every_step(two_series, ranks):
    plan, reader = two_series()
    whole = drained(plan, reader, ranks=1, tracks=8, epochs=2)
    with TrackStream(plan, reader, tracks=8, seed=5) as stream:
        cursors = [stream.state_dict() for _ in range(2) for _ in stream]
    assert len(cursors) == len(whole)
    for place, cursor in enumerate(cursors):
        rest = drained(plan, reader, ranks=ranks, tracks=8, epochs=2, state=cursor)
        assert rest[: len(whole) - place - 1] == whole[place + 1 :]


def test_memory_changes_nothing_and_is_bounded(two_series):
    plan, reader = two_series()
    whole = drained(plan, reader, ranks=1, tracks=4)
    need = 2 * 4 * plan.window.length * reader.row_bytes
    _, tight = two_series(budget=need)
    assert drained(plan, tight, ranks=1, tracks=4) == whole
    assert tight.unreserved == need
    _, small = two_series(budget=need - 1)
    with pytest.raises(BudgetTooSmall, match=f"4 tracks of windows of 6 rows need {need:,} bytes"):
        TrackStream(plan, small, tracks=4, seed=0)


def test_a_batch_can_be_replayed(two_series):
    plan, reader = two_series()
    with TrackStream(plan, reader, tracks=4, seed=5) as stream:
        for index, batch in enumerate(stream):
            again = stream.batch(0, index)
            assert np.array_equal(again.values, batch.values, equal_nan=True)
            assert np.array_equal(again.reset, batch.reset)
        with pytest.raises(IndexError, match="no batch 999"):
            stream.batch(1, 999)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_batch_that_an_interrupt_kept_from_the_consumer_comes_again(two_series, prefetch):
    plan, reader = two_series()
    with TrackStream(plan, reader, tracks=3, seed=0, prefetch=prefetch) as stream:
        assert next(iter(stream)).index == 0
        stream._made.next(0, 1)  # taken, and an interrupt came
        rest = list(range(1, len(stream)))
        assert [batch.index for batch in stream] == rest


def test_cursors_of_other_tracks_and_too_many_ranks_are_refused(two_series):
    plan, reader = two_series()
    with TrackStream(plan, reader, tracks=4, seed=5) as stream:
        with pytest.raises(CursorMismatch, match="taken with tracks 8"):
            stream.load_state_dict(stream.state_dict() | {"tracks": 8})
        with pytest.raises(CursorMismatch, match="no batch 10000"):
            stream.load_state_dict(stream.state_dict() | {"batches_consumed": 10_000})
    with pytest.raises(TooManyRanks, match="5 ranks cannot share 4 tracks"):
        TrackStream(plan, reader, tracks=4, seed=5, rank=0, ranks=5)
