"""What was learned of one choice of columns serves another: it is found by name."""

import numpy as np
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import (
    Column,
    OrderSpec,
    SplitSpec,
    WindowSpec,
    fit_scaling,
    fit_series_scaling,
    open_windows,
)
from lstm.windows.errors import WindowError
from lstm.windows.features.features import Features
from lstm.windows.features.finish import Finish
from lstm.windows.features.learned import Learned

from .tables import COLUMNS, samples
from .test_columns import CONTEXT, HORIZON, SPLIT, all_of, rows_of
from .test_exactly_once import plan_for

NAMES = ("load", "temp", "frame")
WIDTHS = {"load": 1, "temp": 1, "frame": 3}


def columns(names, scaling):
    return [Column(name=name, width=WIDTHS[name], scaling=scaling) for name in names]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("learned") / "table")
    write_deltalake(place, rows_of())
    return place


def opened(place, columns, **options):
    return open_windows(
        place, time="t", entity="name", columns=columns, context=CONTEXT, horizon=HORIZON, splits=SPLIT,
        order=OrderSpec(lanes=4), **options,
    )  # fmt: skip


@pytest.mark.parametrize("scaling", ["global", "series", "window"])
@pytest.mark.parametrize("names", [NAMES[::-1], ("frame",), ("temp", "load")])
def test_columns_in_another_order_or_fewer_are_scaled_as_they_were_learned(place, names, scaling):
    first = opened(place, columns(NAMES, scaling))
    again = opened(place, columns(names, scaling), learned=first.learned)
    (expected, stream), (seen, other) = all_of(first), all_of(again)
    for name in names:
        there, here = stream._reader.features.slices[name], other._reader.features.slices[name]
        assert np.array_equal(seen["values"][..., here], expected["values"][..., there], equal_nan=True)
        assert np.array_equal(seen["level"][:, here], expected["level"][:, there])
        assert np.array_equal(seen["spread"][:, here], expected["spread"][:, there])


@pytest.mark.parametrize("scaling", ["global", "series"])
def test_a_column_that_is_new_and_comes_first_takes_no_other_ones_statistics(place, scaling):
    learned = opened(place, columns(["load"], scaling)).learned
    seen, _ = all_of(opened(place, ["temp", *columns(["load"], scaling)], learned=learned))
    assert not seen["level"][:, 0].any()
    assert (seen["spread"][:, 0] == 1).all()
    load = rows_of().column("load").to_numpy().reshape(3, -1)[:, :36]
    mean = load.mean(axis=1) if scaling == "series" else np.full(3, load.mean())
    assert np.allclose(seen["level"][:, 1], mean[seen["series"]])


def test_columns_that_were_not_chosen_by_name_may_be_more_by_now(place, tmp_path):
    learned = opened(place, columns(["load"], "global")).learned
    newer = str(tmp_path / "newer")
    rows = rows_of()
    write_deltalake(newer, rows.add_column(0, "wind", rows.column("load")).drop_columns(["frame"]))
    seen, stream = all_of(opened(newer, None, learned=learned))
    assert stream.columns[:2] == ("wind", "load")
    assert "level" not in seen


def test_lists_that_are_longer_than_what_was_learned_are_told(place):
    learned = opened(place, columns(["load"], "global")).learned
    with pytest.raises(WindowError, match="nothing was learned of the columns frame"):
        opened(place, columns(["load", "frame"], "global"), learned=learned)
    short = Learned({}, learned.scaling.__class__(("frame[0]", "frame[1]"), (9, 9), (0.0, 0.0), (1.0, 1.0)))
    with pytest.raises(WindowError, match="nothing was learned of the columns frame"):
        opened(place, columns(["frame"], "global"), learned=short)


@given(samples(), st.sampled_from(["global", "series"]), st.data())
@settings(deadline=None, max_examples=10)
def test_statistics_are_of_the_column_that_bears_their_name(sample, scaling, data):
    plan = plan_for(sample, WindowSpec(context=1, horizon=1), SplitSpec(test=0), OrderSpec(lanes=3))
    fit = fit_series_scaling if scaling == "series" else fit_scaling
    learned_in = data.draw(st.permutations(COLUMNS))
    chosen = data.draw(st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True))
    scaled = [Column(name=name, scaling=scaling) for name in chosen]
    finish = Finish(
        Features(sample.snapshot.schema, scaled), plan, scaling=fit(sample.snapshot, plan, learned_in)
    )
    alone = [
        Finish(Features(sample.snapshot.schema, [it]), plan, scaling=fit(sample.snapshot, plan, [it.name]))
        for it in scaled
    ]
    assert np.array_equal(finish._level, np.concatenate([it._level for it in alone], axis=1))
    assert np.array_equal(finish._spread, np.concatenate([it._spread for it in alone], axis=1))
