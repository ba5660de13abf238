"""A stream restored from a cursor yields exactly the rest, at every step, also on other numbers of ranks."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import OrderSpec, SplitSpec, WindowReader, WindowSpec, WindowStream
from lstm.windows.errors import CursorMismatch
from lstm.windows.read.memory import rank_bytes

from .drain import drain, windows_of
from .tables import COLUMNS, samples
from .test_exactly_once import plan_for

EPOCHS = 2


def walked(plan, reader, **options):
    """Batches of one rank over some epochs, and the cursor before each and after the last."""
    with WindowStream(plan, reader, "train", **options) as stream:
        states, batches = [stream.state_dict()], []
        for _ in range(EPOCHS):
            for batch in stream:
                states.append(stream.state_dict())
                batches.append(batch)
        return states, batches


@given(
    samples(),
    st.integers(1, 3),
    st.sampled_from(["short", "drop", "wrap"]),
    st.booleans(),
    st.sampled_from([1, 2, 3, 8]),
    st.data(),
)
@settings(deadline=None, max_examples=25)
def test_restored_stream_yields_exactly_the_rest_at_every_step(sample, pool, last, ordered, ranks, data):
    window = WindowSpec(context=2, horizon=2)
    order = OrderSpec(lanes=8, pool=pool, last=last)
    plan = plan_for(sample, window, SplitSpec(validation=0, test=0), order)
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    held = ranks * rank_bytes(plan, "train", ranks, reader.row_bytes, ordered=ordered)
    # with what is just enough, blocks come and go; else all are kept
    restored = WindowReader(sample.snapshot, plan, COLUMNS, data.draw(st.sampled_from([held, 2**30])))
    total = plan.windows("train")
    options = {
        "seed": 9,
        "batch_size": data.draw(st.integers(max(1, total // 6), total)),
        "ordered": ordered,
        "prefetch": data.draw(st.integers(0, 3)),
    }
    whole = drain(plan, reader, "train", ranks=1, epochs=EPOCHS, **options)
    states, batches = walked(plan, reader, **options)
    assert len(batches) == len(whole)
    for step, state in enumerate(states):
        epochs = EPOCHS - state["epoch"]  # a cursor at the end of an epoch yields one empty iteration
        rest = drain(plan, restored, "train", ranks=ranks, state=state, epochs=epochs, **options)
        assert rest == whole[step:]


@given(samples(), st.integers(1, 12), st.booleans(), st.integers(0, 2))
@settings(deadline=None, max_examples=25)
def test_a_replayed_batch_equals_the_one_that_came(sample, batch_size, ordered, rank):
    plan = plan_for(
        sample, WindowSpec(context=2, horizon=1), SplitSpec(validation=0, test=0), OrderSpec(lanes=4, pool=2)
    )
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    options = {"seed": 2, "batch_size": batch_size, "ordered": ordered, "rank": rank, "ranks": 3}
    _, batches = walked(plan, reader, **options)
    with WindowStream(plan, reader, "train", **options) as stream:
        next(iter(stream))
        before = stream.state_dict()
        for batch in batches:
            assert windows_of(stream.batch(batch.epoch, batch.index)) == windows_of(batch)
        assert stream.state_dict() == before


def test_prefetched_batches_do_not_count(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=0, batch_size=4, prefetch=3) as stream:
        for returned, _ in enumerate(stream, start=1):
            assert stream.state_dict() == {
                "plan_id": plan.id,
                "seed": 0,
                "batch_size": 4,
                "epoch": 0,
                "samples_consumed": min(4 * returned, plan.windows("train")),
            }
        assert (stream.state_dict()["epoch"], stream.state_dict()["samples_consumed"]) == (1, 0)


def test_an_interrupted_loop_goes_on_where_it_stopped(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream:
        seen = []
        for batch in stream:
            seen.append(batch.index)
            if len(seen) == 2:
                break
        seen += [batch.index for batch in stream]
        assert seen == list(range(len(stream)))
        assert {batch.epoch for batch in stream} == {1}


def test_a_cursor_at_the_end_of_an_epoch_ends_that_epoch_first(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream:
        for _ in range(len(stream)):
            next(iter(stream))
        state = stream.state_dict()
        stream.load_state_dict(state)
        assert list(stream) == []
        assert next(iter(stream)).epoch == 1


def test_epochs_differ_and_can_be_set(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream:
        epochs = [[windows_of(batch) for batch in stream] for _ in range(3)]
        assert epochs[0] != epochs[1] != epochs[2]
        stream.set_epoch(1)
        assert [windows_of(batch) for batch in stream] == epochs[1]


def test_ordered_epochs_are_alike(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "test", seed=0, batch_size=4, ordered=True) as stream:
        first = [windows_of(batch) for batch in stream]
        assert [windows_of(batch) for batch in stream] == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan_id": "0" * 64}, "plan_id 0000"),
        ({"seed": 1}, "seed 1"),
        ({"batch_size": 8}, "batch_size 8"),
        ({"samples_consumed": 3}, "ends after 3 samples"),
        ({"samples_consumed": 4000}, "ends after 4000 samples"),
        ({"epoch": -1}, "of epoch -1"),
        ({"epoch": 1.0}, "epoch is a whole number, but this one's is 1.0"),
        ({"samples_consumed": 4.0}, "samples_consumed is a whole number, but this one's is 4.0"),
        ({"epoch": "1"}, "epoch is a whole number, but this one's is '1'"),
        ({"extra": 1}, "extra"),
        ({"seed": 0.0}, "seed is a whole number, but this one's is 0.0"),
        ({"batch_size": 4.0}, "batch_size is a whole number, but this one's is 4.0"),
    ],
)
def test_a_cursor_of_another_stream_is_refused(two_series, change, message):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream:
        with pytest.raises(CursorMismatch, match=message):
            stream.load_state_dict(stream.state_dict() | change)
        assert stream.state_dict()["samples_consumed"] == 0


@pytest.mark.parametrize("nothing", [None, [], "cursor"])
def test_what_is_no_cursor_is_refused(two_series, nothing):
    plan, reader = two_series()
    with (
        WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream,
        pytest.raises(CursorMismatch, match="a cursor is what state_dict"),
    ):
        stream.load_state_dict(nothing)


def test_whole_numbers_of_numpy_are_as_good_as_any(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=1, batch_size=4) as stream:
        stream.set_epoch(2)
        expected = windows_of(next(iter(stream)))
        cursor = stream.state_dict()
    numbers = {"seed": np.int64(1), "batch_size": np.int64(4), "rank": np.int64(0), "ranks": np.int64(1)}
    with WindowStream(plan, reader, "train", **numbers) as stream:
        stream.set_epoch(np.int64(2))
        assert windows_of(next(iter(stream))) == expected
        assert json.loads(json.dumps(stream.state_dict())) == cursor
        stream.load_state_dict(
            cursor | {"epoch": np.int64(2), "samples_consumed": np.int64(0), "seed": np.int64(1)}
        )
        assert windows_of(next(iter(stream))) == expected
        assert windows_of(stream.batch(np.int64(2), np.int64(0))) == expected


@pytest.mark.parametrize("name", ["seed", "batch_size", "rank", "ranks"])
def test_a_stream_needs_whole_numbers(two_series, name):
    plan, reader = two_series()
    with pytest.raises(TypeError, match="integer"):
        WindowStream(plan, reader, "train", **{"seed": 1, "batch_size": 4, "rank": 0, "ranks": 1, name: 1.0})


def test_a_closed_stream_says_so(two_series):
    plan, reader = two_series()
    stream = WindowStream(plan, reader, "train", seed=0, batch_size=4)
    stream.close()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(stream))
    with pytest.raises(IndexError, match="batches 0 to"):
        stream.batch(0, 10**6)
