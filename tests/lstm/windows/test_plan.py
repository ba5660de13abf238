"""A plan's id names all that decides windows and their order, and nothing else; it can be frozen."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import (
    SPLITS,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.arrays import sums
from lstm.windows.errors import PlanMismatch
from lstm.windows.index import segments
from lstm.windows.plan import laid_out, superblocks
from lstm.windows.plan import plan as plans
from lstm.windows.plan.superblocks import cut_superblocks
from lstm.windows.read.known_runs import KnownRuns

from .conftest import HOUR, in_groups, sorted_table
from .memory_table import MemorySnapshot
from .tables import samples
from .test_exactly_once import GAPS, SHARES, WINDOWS, plan_for

WINDOW = WindowSpec(context=4, horizon=2)
SPLIT = SplitSpec(validation=0.2, test=0.2)
ORDER = OrderSpec(lanes=4, pool=2)


def planned(snapshot=None, window=WINDOW, split=SPLIT, order=ORDER, max_gap=None, entity="name"):
    snapshot = snapshot or in_groups(sorted_table(), 25)
    return make_plan(index_snapshot(snapshot, entity=entity, time="t", max_gap=max_gap), window, split, order)


def test_an_id_means_the_same_for_ever():
    """A run resumes under a later version only if that one gives its plan the same id."""
    assert planned().id == "d54cba4fb635c0735a77e61e6ac22e9901e447799f08ae860699bf1879a6b2ae"


def test_the_same_table_and_specs_give_the_same_id():
    assert planned().id == planned().id
    assert len(planned().id) == 64


@pytest.mark.parametrize(
    ("split", "began"),
    [
        (SPLIT, "d54cba4fb635c0735a77e61e6ac22e9901e447799f08ae860699bf1879a6b2ae"),
        (
            SplitSpec(validation=0.1, test=0, embargo_rows=2),
            "c164d2be61f52844b68b0ca12f0578c281ad7d242ac9511595a5f3409f3db996",
        ),
    ],
)
def test_plans_that_runs_have_frozen_keep_their_ids(split, began):
    plan = planned(split=split)
    assert plan.id == began
    assert json.loads(plan.to_bytes())["split"].keys() == {"validation", "test", "embargo_rows"}


@pytest.mark.parametrize(
    "change",
    [
        {"window": replace(WINDOW, context=5)},
        {"window": replace(WINDOW, stride=2)},
        {"split": replace(SPLIT, test=0.25)},
        {"split": replace(SPLIT, embargo_rows=1)},
        {"order": replace(ORDER, lanes=5)},
        {"order": replace(ORDER, pool=3)},
        {"order": replace(ORDER, last="drop")},
        {"snapshot": in_groups(sorted_table(), 20)},
        {"snapshot": in_groups(sorted_table(first=1), 25)},
    ],
    ids=lambda change: str(change)[:40],
)
def test_what_decides_the_order_changes_the_id(change):
    assert planned(**change).id != planned().id


def test_batch_size_ranks_seed_and_budget_do_not_change_the_id(two_series):
    ids = set()
    for ranks, batch_size, budget in [(1, 3, 2**20), (2, 7, 2**30)]:
        plan, reader = two_series(budget=budget)
        with WindowStream(plan, reader, "train", seed=ranks, batch_size=batch_size, ranks=ranks) as stream:
            ids.add(stream.state_dict()["plan_id"])
    assert len(ids) == 1


@given(samples(), WINDOWS, GAPS)
@settings(deadline=None, max_examples=40)
def test_a_frozen_plan_comes_back_with_its_id(sample, window, max_gap):
    plan = plan_for(sample, window, SplitSpec(validation=0, test=0.2), OrderSpec(lanes=3), max_gap)
    data = plan.to_bytes()
    again = Plan.from_bytes(data)
    assert again.id == plan.id
    assert again.to_bytes() == data
    assert again.describe() == plan.describe()
    assert again.series == plan.series


@given(samples(), WINDOWS, SHARES, GAPS)
@settings(deadline=None, max_examples=40)
def test_windows_are_counted_as_they_are_laid_out(sample, window, shares, max_gap):
    plan = plan_for(sample, window, shares, ORDER, max_gap)
    for split in SPLITS:
        assert plan.windows(split) == plan.split_windows(split).total


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize("series", [3, 70_000])
def test_pieces_are_chained_by_series_and_time_wherever_they_stand(in_time, series, monkeypatch):
    monkeypatch.setattr(segments, "_AT_ONCE", 7)
    random = np.random.default_rng(0)
    first = np.arange(200) if in_time else random.permutation(200)
    pieces = segments.Pieces(
        *(np.zeros(1, np.int64) for _ in range(3)),
        series=(random.integers(0, 3, 200) * (series - 1) // 2).astype(np.int32),
        rows=np.ones(200, np.int32),
        first_time=first,
        last_time=first,
    )
    assert segments.link(pieces, None).order.tolist() == np.lexsort((first, pieces.series)).tolist()


@given(samples(), WINDOWS, SHARES, GAPS)
@settings(deadline=None, max_examples=40)
def test_a_plan_is_the_same_where_little_is_kept_and_looked_at_in_one_go(sample, window, shares, max_gap):
    """As of a table of millions of pieces."""
    plan = plan_for(sample, window, shares, ORDER, max_gap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "FEW", 0)
        patch.setattr(segments, "_AT_ONCE", 3)
        patch.setattr(superblocks, "_AT_ONCE", 2)
        other = plan_for(sample, window, shares, ORDER, max_gap)
        assert other.id == plan.id
        assert other.block_rows.tolist() == plan.block_rows.tolist()
        for split in SPLITS:
            windows, others = plan.split_windows(split), other.split_windows(split)
            every = np.arange(windows.total)
            assert all(map(np.array_equal, others.locate(every), windows.locate(every)))
        rows, one = np.arange(plan.rows), np.ones(plan.rows, np.int64)
        found, again = (it.segments.copies(rows, one, rows) for it in (plan, other))
        assert all(np.array_equal(getattr(found, it), getattr(again, it)) for it in found.__slots__)


@given(samples(), WINDOWS, SHARES, GAPS, st.data())
@settings(deadline=None, max_examples=40)
def test_windows_of_whole_superblocks_are_those_found_one_by_one(sample, window, shares, max_gap, data):
    plan = plan_for(sample, window, shares, ORDER, max_gap)
    windows = plan.split_windows("train")
    repeats = data.draw(st.none() | st.lists(st.integers(0, 3), min_size=9, max_size=9).map(np.array))
    if repeats is not None:  # as of series with weights
        ((numbers, parts),) = windows.layout.all_parts()
        runs = windows.runs(parts)
        series, _ = plan.segments.within_series(runs.start)
        counts = np.bincount(numbers[runs.owner], runs.counts * repeats[series], len(numbers)).astype(int)
        windows = superblocks.windows_of(windows.layout, counts, windows.ranges, windows.stride, repeats)
    held = len(windows.superblocks)
    places = np.array(data.draw(st.lists(st.integers(0, held - 1), max_size=4)) if held else [], int)
    _, numbers = segments.ranges(windows.first[places], windows.counts[places])
    block, offset, logical = windows.locate(numbers)
    runs = KnownRuns(plan.split_windows("train")).of(windows.superblocks[places])
    run, further = windows.each(runs)
    assert windows.superblocks[places][runs.owner[run]].tolist() == block.tolist()
    assert (runs.offset[run] + further).tolist() == offset.tolist()
    assert (runs.start[run] + further).tolist() == logical.tolist()


@given(samples(), WINDOWS, SHARES, GAPS)
@settings(deadline=None, max_examples=30)
def test_what_is_frozen_beside_the_records_is_what_would_be_worked_out(sample, window, shares, max_gap):
    """As of a plan of many pieces."""
    plan = plan_for(sample, window, shares, ORDER, max_gap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laid_out, "MANY", 0)
        data = plan.to_bytes()
        patch.setattr(plans, "link", None)  # nothing is sorted, and no part is looked at
        patch.setattr(plans, "survey", None)
        again = Plan.from_bytes(data)
        assert again.id == plan.id
        assert again.to_bytes() == data
        assert again.block_rows.tolist() == plan.block_rows.tolist()
        for split in SPLITS:
            windows, others = plan.split_windows(split), again.split_windows(split)
            every = np.arange(windows.total)
            assert all(map(np.array_equal, others.locate(every), windows.locate(every)))


def test_what_another_version_laid_out_is_worked_out_anew(monkeypatch):
    monkeypatch.setattr(laid_out, "MANY", 0)
    plan = planned()
    data = plan.to_bytes()
    monkeypatch.setattr(laid_out, "FORMAT", 2)
    monkeypatch.setattr(laid_out, "chain", None)  # nothing of it is taken
    again = Plan.from_bytes(data)
    assert again.id == plan.id
    assert again.split_windows("train").total == plan.split_windows("train").total


def test_a_layout_that_does_not_fit_its_records_is_told(monkeypatch):
    monkeypatch.setattr(laid_out, "MANY", 0)
    values = json.loads(planned().to_bytes())
    other = json.loads(planned(in_groups(sorted_table(hours=90), 20)).to_bytes())
    values["laid_out"] = other["laid_out"]
    with pytest.raises(PlanMismatch, match="damaged"):
        Plan.from_bytes(json.dumps(values).encode())


def test_a_frozen_plan_is_compact():
    names = [f"entity {number:03}" for number in range(200)]
    plan = planned(in_groups(sorted_table(hours=50, names=names), 100))
    assert len(plan.pieces) == 200
    assert len(plan.to_bytes()) < 200 * 40


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda plan: b"\x00", "damaged"),
        (lambda plan: b"{}", "damaged"),
        (lambda plan: plan.to_bytes()[:-20], "damaged"),
        (lambda plan: edited(plan, format=99), "format 99"),
        (lambda plan: edited(plan, window={"context": 3, "horizon": 2, "stride": 1}), "comes out as"),
        (lambda plan: edited(plan, window={"context": 0, "horizon": 2, "stride": 1}), "damaged"),
        (lambda plan: edited(plan, id="0" * 64), "comes out as"),
    ],
)
def test_a_damaged_or_foreign_frozen_plan_is_refused(damage, message):
    with pytest.raises(PlanMismatch, match=message):
        Plan.from_bytes(damage(planned()))


def edited(plan, **changes):
    return json.dumps(json.loads(plan.to_bytes()) | changes).encode()


def test_a_plan_fits_its_own_snapshot_only():
    plan = planned()
    plan.check(in_groups(sorted_table(), 25))
    groups = [sorted_table().slice(at, 25) for at in range(0, 80, 25)]
    grown = MemorySnapshot([groups, [sorted_table(first=100)]])
    with pytest.raises(PlanMismatch, match=r"1 files; snapshot 1 of .+ has 2, 1 of them the same"):
        plan.check(grown)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda hours: hours, False),
        (lambda hours: np.concatenate([hours[:1] - 1, hours[1:]]), True),  # the first time of a piece only
        (lambda hours: np.concatenate([hours[:-1], hours[-1:] + 1]), True),  # the last one only
        (lambda hours: hours + 1, True),
        (lambda hours: hours[:-1], True),
    ],
)
def test_rows_that_changed_in_place_are_noticed(change, told):
    def of(hours):
        times = pa.array(np.asarray(hours) * HOUR, pa.timestamp("us", "UTC"))
        return MemorySnapshot([[pa.table({"t": times, "x": np.ones(len(hours))})]])

    plan = planned(of(np.arange(40)), entity=None)
    changed = of(change(np.arange(40)))
    (content,) = changed._groups.values()
    changed.files = (replace(changed.files[0], identity=plan.files[0]),)
    changed._groups = {plan.files[0]: content}
    told_so = pytest.raises(PlanMismatch, match=r"never be changed in place") if told else nullcontext()
    reader = WindowReader(changed, plan, ("x",))
    with WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream, told_so:
        next(iter(stream))


def test_renamed_key_columns_are_noticed():
    plan = planned()
    snapshot = in_groups(sorted_table(), 25)
    snapshot.column_identity = lambda column: f"another {column}"
    with pytest.raises(PlanMismatch, match="replaced by others of the same name"):
        plan.check(snapshot)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 12))
@settings(deadline=None)
def test_superblocks_tile_the_rows_and_never_cross_a_row_group(group_rows, lanes):
    rows = sum(group_rows)
    if not rows:
        return
    first = cut_superblocks(pa.array(group_rows, pa.int64()).to_numpy(), lanes).tolist()
    assert first[0] == 0
    assert first[-1] == rows
    assert first == sorted(set(first))
    bounds = {sum(group_rows[:n]) for n in range(len(group_rows) + 1)}
    assert bounds <= set(first)
    held = len([n for n in group_rows if n])
    if held >= 4 * lanes:
        assert len(first) - 1 == held
    else:
        assert len(first) - 1 >= min(4 * lanes, rows)


def test_a_plan_describes_itself():
    facts = planned().describe()
    assert facts["series"] == 2
    assert facts["splits"]["test"] == {
        "windows": 14,
        "horizons_from": "1970-01-02T08:00:00Z",
        "horizons_before": None,
    }
    assert facts["interval"] == "3600 s"
    json.dumps(facts, allow_nan=False)
