"""Random tables of sequence data, and a naive reading of them to compare with."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from .memory_table import MemorySnapshot

COLUMNS = ("x", "n")


@dataclass
class Sample:
    """One random table."""

    snapshot: MemorySnapshot
    entity: str | None
    rows: list
    """[(entity, time, x, n)], the values as float32 or NaN."""


@st.composite
def samples(draw, layouts=("sorted", "by_time", "by_entity", "by_arrival", "shuffled"), most=40):
    """Tables of 1 to 5 entities: ragged, with gaps and nulls, cut anywhere, in a layout that is supported."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    entity = draw(st.sampled_from(["name", "number", None]))
    names = {"name": ["é", "a", "b", "B", "zz"], "number": [7, -3, 0, 12, 5], None: [None]}[entity]
    names = names[: draw(st.integers(1, len(names)))]
    steps = draw(st.sampled_from([[1], [1, 1, 1, 1, 3], [1, 1, 2, 9], [1, 1, 1, 1, 1, 1, 1, 1, 1, 40]]))
    steps = [step for step in steps if step <= most]
    longest = draw(st.integers(8, 60))
    rows = []
    for name in names:
        length = int(random.integers(1, longest + 1))
        times = int(random.integers(0, 12)) + np.cumsum(random.choice(steps, length))
        rows += [(name, int(time), random.standard_normal(), int(random.integers(-9, 9))) for time in times]
    rows = [
        (name, time, None if random.random() < 0.2 else x, None if random.random() < 0.2 else n)
        for name, time, x, n in rows
    ]
    files = _cut(rows, draw(st.sampled_from(layouts)), random)
    snapshot = MemorySnapshot([[_table(group, entity) for group in file] for file in files])
    return Sample(snapshot, entity, [(name, time, _float(x), _float(n)) for name, time, x, n in rows])


def relaid(sample, layout, seed):
    """The rows of a sample in a table that lies in another way."""
    rows = [
        (name, time, None if np.isnan(x) else float(x), None if np.isnan(n) else int(n))
        for name, time, x, n in sample.rows
    ]
    files = _cut(rows, layout, np.random.default_rng(seed))
    return MemorySnapshot([[_table(group, sample.entity) for group in file] for file in files])


def _cut(rows, layout, random):
    """Files of row groups of rows."""
    rows = sorted(rows, key=lambda row: (row[0] is not None and row[0], row[1]))
    if layout == "sorted":
        files = _slices(rows, random, 3)
    elif layout == "scattered":  # anything anywhere
        random.shuffle(rows)
        files = _slices(rows, random, 3)
    elif layout == "row by row":  # each in a row group of its own
        return [[[row] for row in rows]]
    elif layout == "by_entity":
        names = list(dict.fromkeys(row[0] for row in rows))
        random.shuffle(names)
        files = [[row for row in rows if row[0] == name] for name in names]
    else:
        bounds = [-1, *sorted(random.integers(0, 200, 3).tolist()), 10**9]
        files = [[row for row in rows if low < row[1] <= high] for low, high in pairwise(bounds)]
        for file in files:
            if layout == "by_arrival":
                file.sort(key=lambda row: row[1])  # entities alternate
            elif layout == "shuffled":
                random.shuffle(file)
        return [[file] for file in files]  # a row group holds all entities of a stretch of time
    return [_slices(file, random, 3) for file in files]


def _slices(rows, random, most):
    cuts = sorted(random.integers(0, len(rows) + 1, int(random.integers(0, most))).tolist())
    return [rows[low:high] for low, high in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def _table(rows, entity):
    columns = {
        "t": pa.array([row[1] for row in rows], pa.int64()),
        "x": pa.array([row[2] for row in rows], pa.float64()),
        "n": pa.array([row[3] for row in rows], pa.int32()),
    }
    if entity is not None:
        kind = pa.string() if entity == "name" else pa.int16()
        columns[entity] = pa.array([row[0] for row in rows], kind)
    return pa.table(columns)


def _float(value):
    return np.float32(np.nan if value is None else value)


def naive_windows(rows, window, max_gap, bounds):
    """{(series number, start row in its series): (times, values)} of horizons inside `bounds`."""
    series = {}
    for name, time, *values in rows:
        series.setdefault(name, []).append((time, values))
    first_time, end_time = bounds
    found = {}
    for number, name in enumerate(sorted(series, key=lambda name: name is not None and name)):
        stretch = sorted(series[name], key=lambda row: row[0])
        segment_first = 0
        for row in range(len(stretch)):
            if row and max_gap is not None and stretch[row][0] - stretch[row - 1][0] > max_gap:
                segment_first = row
            start = row - window.length + 1  # the window that ends with this row
            if start < segment_first or (start - segment_first) % window.stride:
                continue
            times = [time for time, _ in stretch[start : row + 1]]
            horizon = times[window.context :]
            if (first_time is None or horizon[0] >= first_time) and (
                end_time is None or horizon[-1] < end_time
            ):
                values = np.array([v for _, v in stretch[start : row + 1]], np.float32)
                found[number, start] = (np.array(times), values)
    return found


def known(windows, rows, end):
    """Those of `windows` that end no later than the last row of their series before `end` in the table."""
    if end is None:
        return windows
    names = sorted({name for name, *_ in rows}, key=lambda name: name is not None and name)
    last = {names.index(name): time for name, time, *_ in sorted(rows, key=lambda row: row[1]) if time < end}
    return {key: found for key, found in windows.items() if found[0][-1] <= last[key[0]]}


def on_grid(rows, grid, max_gap=None):
    """Rows [(entity, time, *values)] and those that a grid adds, by pandas; last 1.0, of the added 0.0."""
    found = []
    frame = pd.DataFrame(rows)
    for name, series in frame.groupby(0, dropna=False):
        series = series.sort_values(1).set_index(1).drop(columns=0).assign(observed=1.0)
        gap = pd.Series(series.index, series.index).diff()
        for _, segment in series.groupby((gap > (np.inf if max_gap is None else max_gap)).cumsum()):
            whole = segment.reindex(range(segment.index[0], segment.index[-1] + 1, grid))
            whole["observed"] = whole["observed"].fillna(0.0)
            name = None if pd.isna(name) else name
            found += [(name, *row) for row in whole.itertuples(name=None)]
    return found
