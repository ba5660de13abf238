"""Tables in no order whose rows are deleted by vectors and by positions: windows are those of the live rows.

Positions count rows as they were written, and row groups are put in order only after the deleted ones are
out. What Spark deleted is read in `test_spark_tables`.
"""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import WindowSpec
from storage import uri as uris
from storage.tables import create_table, iceberg_plan, lake_for, open_table

from ...storage.tables.delta_by_hand import Log, add, inline, metadata, protocol
from ...storage.tables.iceberg_by_hand import ByHand, parquet, position_deletes
from .conftest import HOUR
from .whole import check_windows

NAMES = ["é", "a", "b", "zz"]
HOURS, FILES, GROUPS = 40, 3, 2
"""Of each row group; all entities' rows of these hours stand in it, in any order."""
GROUP_ROWS = HOURS * len(NAMES)
FIELDS = [
    {"name": "entity", "type": "string"},
    {"name": "time", "type": "timestamp"},
    {"name": "x", "type": "double"},
    {"name": "n", "type": "integer"},
]


def files_and_deleted(seed):
    """[(rows of a file, positions of the deleted)]: at random, at ends, and an entity's of a row group."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(FILES):
        groups = []
        for group in range(GROUPS):
            first = (number * GROUPS + group) * HOURS
            hours = np.tile(np.arange(first, first + HOURS), len(NAMES))
            rows = pa.table(
                {
                    "entity": np.repeat(np.array(NAMES), HOURS),
                    "time": pa.array(hours * HOUR, pa.timestamp("us", "UTC")),
                    "x": pa.array(random.standard_normal(GROUP_ROWS), mask=random.random(GROUP_ROWS) < 0.1),
                    "n": pa.array(random.integers(-9, 9, GROUP_ROWS), pa.int32()),
                }
            )
            groups.append(rows.take(random.permutation(GROUP_ROWS)))
        rows = pa.concat_tables(groups)
        gone = random.random(rows.num_rows) < 0.15
        gone[[0, GROUP_ROWS - 1, GROUP_ROWS, -1]] = True
        of_one = np.array(rows["entity"].to_pylist()) == NAMES[number]
        gone[:GROUP_ROWS] |= of_one[:GROUP_ROWS]
        made.append((rows, np.flatnonzero(gone).tolist()))
    return made


def in_delta(files, server, bucket, monkeypatch):
    """A log with vectors inside and in files of their own."""
    del monkeypatch
    uri = f"s3://{bucket.name}/delta"
    log = Log(uri, server.access)
    added = []
    for number, (rows, gone) in enumerate(files):
        size = log.data(f"{number}.parquet", rows, row_group_size=GROUP_ROWS)
        vector = log.vector_file(gone) if number else inline(gone)
        added.append(add(f"{number}.parquet", size, rows.num_rows, deletionVector=vector))
    log.commit(protocol("deletionVectors"), metadata(FIELDS), *added)
    return open_table(lake_for(server), uri, format="delta").snapshot()


def in_iceberg(files, server, bucket, monkeypatch):
    """Position deletes, two files of them for each file of rows."""
    uri = f"s3://{bucket.name}/iceberg"
    table = create_table(lake_for(server), uri, files[0][0].schema, format="iceberg")
    table.append(files[0][0].slice(0, 1), transaction="a")
    made = ByHand(table, bucket, uris.parse(uri)[1])
    monkeypatch.setattr(iceberg_plan, "_entries", lambda *_: made.entries)  # of the append, nothing is read
    for number, (rows, gone) in enumerate(files):
        place = made.put(f"{number}.parquet", parquet(rows, row_group_size=GROUP_ROWS))
        made.add(*place, rows.num_rows)
        for part in range(2):
            deleted = position_deletes(*((place[0], it) for it in gone[part::2]))
            name = f"deleted-{number}-{part}.parquet"
            made.deletes(*made.put(name, parquet(deleted)), deleted.num_rows, sequence=2)
    return made.snapshot()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("write", [in_delta, in_iceberg])
def test_windows_of_unsorted_rows_are_those_of_the_live_ones(write, seed, s3_server, bucket, monkeypatch):
    files = files_and_deleted(seed)
    live = [rows.take(np.setdiff1d(np.arange(rows.num_rows), gone)) for rows, gone in files]
    snapshot = write(files, s3_server, bucket, monkeypatch)
    assert [it.rows for it in snapshot.files] == [it.num_rows for it in live]
    window = WindowSpec(context=20, horizon=4)  # longer than what is between two cuts: over files and groups
    plan = check_windows(snapshot, pa.concat_tables(live), ["x", "n"], window=window)
    assert plan.keys.sorts
    assert len(plan.pieces.group_rows) == FILES * GROUPS


@pytest.mark.parametrize("superblock_rows", [None, 11])
@pytest.mark.parametrize("write", [in_delta, in_iceberg])
def test_a_grid_fills_in_what_was_deleted(write, superblock_rows, s3_server, bucket, monkeypatch):
    files = [(rows.sort_by([("entity", "ascending"), ("time", "ascending")]), gone) for rows, gone in
             files_and_deleted(2)]  # fmt: skip
    live = pa.concat_tables([rows.take(np.setdiff1d(np.arange(rows.num_rows), gone)) for rows, gone in files])
    window = WindowSpec(context=20, horizon=4)
    plan = check_windows(
        write(files, s3_server, bucket, monkeypatch), live, ["x", "n"],
        window=window, grid=timedelta(hours=1), max_gap=timedelta(hours=30), superblock_rows=superblock_rows,
    )  # fmt: skip
    assert plan.rows == live.num_rows + plan.filled > live.num_rows
