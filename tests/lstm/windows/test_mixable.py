"""Tables whose cells mean different things are not mixed; what the message says mends it."""

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lstm.windows import Calendar, Column, Mixture, open_windows
from lstm.windows.errors import WindowError

ROWS = 60
MINUTE = 60_000_000
CATEGORY = Column(name="c", kind="category")
SCALED = Column(name="x", scaling="global")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two tables of one schema; each one's values are its own."""
    root = tmp_path_factory.mktemp("mixed")
    for name, colours in (("first", ["red", "tan"]), ("second", ["blue", "red", "zinc"])):
        number = np.arange(ROWS)
        rows = pa.table(
            {
                "e": [name] * ROWS,
                "t": pa.array(number * MINUTE, pa.timestamp("us", "UTC")),
                "c": np.array(colours)[number % len(colours)],
                "x": number * float(len(colours)),
                "n": number % 3,
                "s": [colours[0]] * ROWS,
            }
        )
        write_deltalake(root / name, rows)
    return [str(root / name) for name in ("first", "second")]


def opened(place, columns, **options):
    return open_windows(place, context=4, horizon=2, columns=columns, time="t", entity="e", **options)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            [CATEGORY, "x"],
            "column 'c' has id 2 for 'red' in .*first and for 'blue' in .*second; .*first.learned",
        ),
        (
            [SCALED],
            r"column 'x' is scaled by mean \d+ and deviation [\d.]+ in .*first, .*learned=first.learned",
        ),
        (["x", Column(name="s", kind="category", role="static")], "column 's' has id 2 for 'red'"),
    ],
)
def test_what_each_table_learned_by_itself_is_not_mixed_until_the_second_takes_the_firsts(
    places, columns, message
):
    first, second = (opened(place, columns) for place in places)
    with pytest.raises(WindowError, match=message):
        Mixture([first, second], batch_size=8)
    second = opened(places[1], columns, learned=first.learned)
    with Mixture([first, second], batch_size=8) as mixture:
        assert {table for batch in mixture for table in batch.table.tolist()} == {0, 1}


def test_a_vocabulary_that_only_goes_on_is_another_one(places):
    first = opened(places[0], [CATEGORY])
    learned = first.learned
    longer = type(learned)({"c": type(learned.vocabularies["c"])("c", ("red", "tan", "zinc"))}, None)
    with pytest.raises(WindowError, match=r"'c' has 2 values in .* and 3 in "):
        Mixture([first, opened(places[1], [CATEGORY], learned=longer)], batch_size=8)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        *(
            ({"role": a}, {"role": b}, f"column 'x' has role {a} in .*first and {b} in .*second")
            for a, b in (("any", "target"), ("target", "known"), ("known", "past"), ("past", "any"))
        ),
        ({"scaling": "window"}, {}, "column 'x' has scaling window in .*first and none in"),
        ({}, {"scaling": "series"}, "column 'x' has scaling none in .*first and series in"),
        ({"name": "n", "kind": "category"}, {"name": "n", "kind": "token"}, "'n' has kind category .* token"),
    ],
)
def test_columns_that_are_not_the_same_are_told_by_name(places, one, other, message):
    both = [
        opened(place, [Column(**{"name": "x"} | how)])
        for place, how in zip(places, (one, other), strict=True)
    ]
    with pytest.raises(WindowError, match=message):
        Mixture(both, batch_size=8)


@pytest.mark.parametrize("zones", [("UTC", None), (None, "UTC")])
def test_all_have_a_calendar_or_none_has(places, zones):
    both = [opened(place, ["x"], calendar=zone) for place, zone in zip(places, zones, strict=True)]
    with pytest.raises(WindowError, match="need the same argument calendar"):
        Mixture(both, batch_size=8)


def test_all_have_the_same_cycles_in_their_calendar(places):
    both = [
        opened(place, ["x"], calendar=zone)
        for place, zone in zip(places, ("UTC", Calendar("UTC", year=True)), strict=True)
    ]
    with both[1].stream(batch_size=8) as stream:
        batch = next(iter(stream))
        assert batch.calendar.shape == (*batch.times.shape, 18)
        assert (batch.calendar == Calendar("UTC", year=True).encode(batch.times)).all()
    with pytest.raises(WindowError, match=r"need the same cycles in their calendar, .* has 12 and .* has 18"):
        Mixture(both, batch_size=8)


def test_what_is_each_tables_own_is_mixed(places):
    ways = [
        [Column(name="x", scaling="series")],
        [Column(name="x", scaling="window", nulls="drop_window")],
        [Column(name="n", kind="token", role="known"), Column(name="x", role="target")],
    ]
    for columns in ways:
        both = [
            opened(place, columns, calendar=zone)
            for place, zone in zip(places, ("UTC", "Asia/Tokyo"), strict=True)
        ]
        with Mixture(both, batch_size=8) as mixture:
            batch = next(iter(mixture))
            assert len(batch.values) == len(batch.calendar) == 8
