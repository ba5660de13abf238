"""Scaling is measured on training rows only, exactly the same each time."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import OrderSpec, Scaling, SplitSpec, WindowSpec, fit_scaling, index_snapshot, make_plan
from lstm.windows.errors import InfiniteValues, MissingColumn, WrongColumnType
from lstm.windows.features.features import Features
from lstm.windows.features.training_groups import training_groups
from lstm.windows.features.training_rows import training_rows

from .conftest import in_groups, sorted_table
from .tables import COLUMNS, samples
from .test_exactly_once import plan_for


@given(samples(), st.sampled_from([0, 0.3]))
@settings(deadline=None, max_examples=60)
def test_moments_equal_those_of_all_known_training_values(sample, test):
    plan = plan_for(
        sample, WindowSpec(context=1, horizon=1), SplitSpec(validation=0, test=test), OrderSpec(lanes=3)
    )
    scaling = fit_scaling(sample.snapshot, plan, COLUMNS)
    training = [row for row in sample.rows if row[1] < plan.splits["train"][1]]
    for place in range(2):
        values = np.array([row[2 + place] for row in training], np.float64)
        known = values[~np.isnan(values)]
        assert scaling.count[place] == len(known)
        if len(known):
            assert scaling.mean[place] == pytest.approx(known.mean(), rel=1e-12, abs=1e-12)
            assert scaling.std[place] == pytest.approx(known.std(), rel=1e-9, abs=1e-9)
        else:
            assert (scaling.mean[place], scaling.std[place]) == (0.0, 0.0)


def test_scaling_survives_json_to_the_bit(two_series):
    plan, _ = two_series()
    scaling = fit_scaling(in_groups(sorted_table(), 25), plan, ("x", "y"))
    assert Scaling.from_json(json.loads(json.dumps(scaling.to_json()))) == scaling
    assert scaling == fit_scaling(in_groups(sorted_table(), 25), plan, ("x", "y"))


def test_row_groups_after_the_boundary_are_not_read(two_series):
    snapshot = in_groups(sorted_table(names=("a",)), 10)
    plan, _ = two_series(snapshot=snapshot)
    snapshot.reads.clear()
    fit_scaling(snapshot, plan, ("x",))
    assert sorted(group for _, group, _ in snapshot.reads) == [0, 1, 2]


def test_training_rows_are_read_ahead_but_few_at_once_and_come_in_order(two_series):
    snapshot = in_groups(sorted_table(), 2)
    plan, _ = two_series(snapshot=snapshot)
    snapshot.reads.clear()
    rows = training_rows(snapshot, plan, Features(snapshot.schema, ("x",)))
    groups = [next(rows)[0], next(rows)[0]]
    rows.close()
    assert groups == list(training_groups(plan))[:2]
    read = sorted(group for _, group, _ in snapshot.reads)
    assert 2 <= len(read) <= 4 < len(list(training_groups(plan)))


@pytest.mark.parametrize(
    ("column", "values", "error", "message"),
    [
        ("x", [float("inf")] * 9, InfiniteValues, "column 'x' holds 9 infinite .* the first at 0; make"),
        ("x", [1e300] * 9, InfiniteValues, "beyond float32"),
        ("x", ["a"] * 9, WrongColumnType, "column 'x' is string"),
        ("z", [1.0] * 9, MissingColumn, "no column 'x'; it has: t, z"),
    ],
)
def test_what_cannot_be_scaled_is_refused(column, values, error, message):
    snapshot = in_groups(pa.table({"t": range(9), column: values}), 9)
    plan = make_plan(
        index_snapshot(snapshot, entity=None, time="t"),
        WindowSpec(context=1, horizon=1),
        SplitSpec(validation=0, test=0),
        OrderSpec(),
    )
    with pytest.raises(error, match=message):
        fit_scaling(snapshot, plan, ("x",))
