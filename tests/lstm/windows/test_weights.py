"""Series that come more or less often: as DESIGN's rule says, at any number of ranks, from any cursor on."""

from collections import Counter
from fractions import Fraction
from math import floor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lstm.windows import (
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.errors import EmptySplit, WindowError
from lstm.windows.plan.weights import repeats_of

from .conftest import in_groups
from .drain import drain
from .reference_order import epoch_order, hashed
from .tables import COLUMNS, samples
from .test_exactly_once import plan_for, superblocks_of

WINDOWS = st.builds(
    WindowSpec, context=st.integers(1, 3), horizon=st.integers(1, 2), stride=st.integers(1, 2)
)
SPLIT = SplitSpec(validation=0, test=0)


def expected_repeats(weights, seed, epoch):
    """DESIGN.md: each window of a series comes ⌊w + u⌋ times."""
    drawn = hashed([seed, epoch, "weight"], len(weights))
    return [floor(Fraction(w) + Fraction(h, 2**64)) for w, h in zip(weights, drawn, strict=True)]


@given(st.lists(st.floats(0, 50), min_size=1, max_size=20), st.integers(0, 5), st.integers(0, 1000))
def test_repeats_are_those_of_the_rule(weights, seed, epoch):
    rounded = np.round(np.array(weights) * 2.0**32) / 2.0**32
    assert repeats_of(rounded, seed, epoch).tolist() == expected_repeats(rounded.tolist(), seed, epoch)


@given(samples(), WINDOWS, st.data())
@settings(deadline=None, max_examples=60)
def test_positions_and_ranks_equal_the_reference(sample, window, data):
    entities = sorted({str(row[0]) for row in sample.rows}) if sample.entity else []
    weights = data.draw(st.dictionaries(st.sampled_from(entities), st.floats(0, 3))) if entities else {}
    order = OrderSpec(
        lanes=data.draw(st.integers(3, 6)),
        pool=data.draw(st.integers(1, 3)),
        temperature=data.draw(st.sampled_from([1.0, 2.0, 5.0])),
        weights=weights,
    )
    try:
        plan = plan_for(sample, window, SPLIT, order)
    except WindowError as error:
        assert "would hold no window" in str(error)  # noqa: PT017
        return
    assume(plan.weights is not None)
    plan = Plan.from_bytes(plan.to_bytes())
    epoch = data.draw(st.integers(0, 3))
    repeats = expected_repeats(plan.weights.tolist(), 11, epoch)
    superblocks = [
        [name for name in held for _ in range(repeats[name[0]])] for held in superblocks_of(sample, plan)
    ]
    assume(any(superblocks))
    expected = epoch_order(superblocks, order.lanes, order.pool, 11, epoch)
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    try:
        streams = [
            WindowStream(plan, reader, "train", seed=11, batch_size=5, rank=rank, ranks=3)
            for rank in range(3)
        ]
    except EmptySplit:  # of epoch 0
        return
    for rank, stream in enumerate(streams):
        with stream:
            stream.set_epoch(epoch)
            assert len(stream) == -(-len(expected) // 5)
            try:
                seen = [
                    (int(position), (int(series), int(start)))
                    for batch in stream
                    for position, series, start in zip(
                        batch.positions, batch.series, batch.starts, strict=True
                    )
                ]
            except EmptySplit:  # of the epoch after it, whose first pools are loaded ahead
                return
        assert seen == [
            (position, name) for position, (name, lane) in enumerate(expected) if lane % 3 == rank
        ]


def uneven():
    """Series of 200, 40 and 10 rows."""
    rows = [
        (name, hour)
        for name, count in (("long", 200), ("middle", 40), ("short", 10))
        for hour in range(count)
    ]
    return in_groups(
        pa.table(
            {
                "name": [name for name, _ in rows],
                "t": pa.array([hour for _, hour in rows]),
                "x": pa.array([float(hour) for _, hour in rows], pa.float32()),
            }
        ),
        20,
    )


def planned(**order):
    snapshot = uneven()
    index = index_snapshot(snapshot, entity="name", time="t", max_gap=None)
    plan = make_plan(index, WindowSpec(context=2, horizon=1), SPLIT, OrderSpec(lanes=8, pool=2, **order))
    return plan, WindowReader(snapshot, plan, ("x",))


def shares(plan, reader, epochs=60):
    """By series: windows per epoch, on average."""
    counts = Counter()
    with WindowStream(plan, reader, "train", seed=4, batch_size=16) as stream:
        for _ in range(epochs):
            for batch in stream:
                counts.update(batch.series.tolist())
    return {plan.series[number]: count / epochs for number, count in counts.items()}


@pytest.mark.parametrize("temperature", [2.0, 5.0])
def test_a_temperature_draws_series_by_a_root_of_their_number_and_keeps_the_length_of_an_epoch(temperature):
    plan, reader = planned(temperature=temperature)
    found = shares(plan, reader)
    rooted = {
        name: count ** (1 / temperature) for name, count in (("long", 198), ("middle", 38), ("short", 8))
    }
    total = 198 + 38 + 8
    for name, count in found.items():
        assert count == pytest.approx(total * rooted[name] / sum(rooted.values()), rel=0.15)


def test_weights_say_how_often_the_windows_of_an_entity_come():
    plan, reader = planned(weights={"short": 2.5, "long": 0.0})
    found = shares(plan, reader)
    assert "long" not in found
    assert found["middle"] == 38
    assert found["short"] == pytest.approx(2.5 * 8, rel=0.1)


def test_without_weights_a_plan_is_what_it_was():
    assert planned()[0].weights is None
    assert planned(temperature=2.0)[0].id != planned()[0].id != planned(weights={"long": 0.5})[0].id


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_a_cursor_goes_on_with_exactly_the_rest_at_any_number_of_ranks(ranks):
    plan, reader = planned(temperature=3.0, weights={"middle": 1.5})
    whole = drain(plan, reader, "train", ranks=1, seed=2, batch_size=16, epochs=3)
    with WindowStream(plan, reader, "train", seed=2, batch_size=16) as stream:
        cursors = []
        for _ in range(3):
            cursors += [stream.state_dict() for _ in stream]
    lengths = Counter(cursor["epoch"] for cursor in cursors)
    assert len(set(lengths.values())) > 1, "epochs of different lengths"
    for place, cursor in enumerate(cursors):
        if place % 5 == 0:
            rest = drain(plan, reader, "train", ranks=ranks, seed=2, batch_size=16, epochs=3, state=cursor)
            assert rest[: len(whole) - place - 1] == whole[place + 1 :]


def test_any_batch_of_any_epoch_can_be_replayed():
    plan, reader = planned(temperature=3.0)
    with WindowStream(plan, reader, "train", seed=2, batch_size=16) as stream:
        for epoch in range(3):
            for index, batch in enumerate(stream):
                again = stream.batch(epoch, index)
                assert np.array_equal(again.values, batch.values)
                assert np.array_equal(again.positions, batch.positions)
        with pytest.raises(IndexError, match="no batch 99 in epoch 1"):
            stream.batch(1, 99)


def test_in_plan_order_each_window_comes_once():
    plan, reader = planned(temperature=3.0, weights={"long": 0.0})
    with WindowStream(plan, reader, "train", seed=2, batch_size=16, ordered=True) as stream:
        seen = [(s, n) for batch in stream for s, n in zip(batch.series, batch.starts, strict=True)]
    assert len(set(seen)) == len(seen) == plan.windows("train")


def test_validation_is_never_weighted():
    snapshot = uneven()
    index = index_snapshot(snapshot, entity="name", time="t", max_gap=None)
    plan = make_plan(
        index, WindowSpec(context=2, horizon=1), SplitSpec(validation=0.2, test=0), OrderSpec(temperature=5.0)
    )
    reader = WindowReader(snapshot, plan, ("x",))
    with WindowStream(plan, reader, "validation", seed=2, batch_size=16) as stream:
        assert sum(len(batch) for batch in stream) == plan.windows("validation")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"weights": {"nobody": 2.0}}, "order.weights names 'nobody'"),
        ({"weights": {"long": 0.0, "middle": 0.0, "short": 0.0}}, "would hold no window"),
    ],
)
def test_weights_that_cannot_be_are_refused(order, message):
    with pytest.raises(WindowError, match=message):
        planned(**order)


@pytest.mark.parametrize(
    "order", [{"temperature": 0.0}, {"weights": {"a": -1.0}}, {"weights": {"a": float("nan")}}]
)
def test_weights_are_numbers_of_times(order):
    with pytest.raises(ValueError, match="OrderSpec"):
        OrderSpec(**order)
