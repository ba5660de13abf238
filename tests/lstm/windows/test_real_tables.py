"""The same windows from a real Delta and a real Iceberg table, written in several appends, as from memory."""

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import (
    SPLITS,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    fit_scaling,
    index_snapshot,
    last_contexts,
    make_plan,
)
from storage.tables import create_table, lake_for, open_table

from .conftest import sorted_table
from .drain import drain
from .tables import naive_windows

WINDOW = WindowSpec(context=20, horizon=4)


def make(snapshot, bucket):
    index = index_snapshot(snapshot, entity="name", time="t", cache=bucket)
    return index, make_plan(index, WINDOW, SplitSpec(validation=0.2, test=0.2), OrderSpec(lanes=6, pool=2))


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_windows_of_a_table_in_a_bucket(s3_server, bucket, kind):
    lake = lake_for(s3_server)
    uri = f"s3://{bucket.name}/tables/sequences"
    parts = [sorted_table(hours=60, first=first, names=("é", "a", "b")) for first in (0, 60, 120)]
    parts = [part.sort_by([("name", "ascending"), ("t", "ascending")]) for part in parts]
    table = create_table(lake, uri, parts[0].schema, format=kind, row_group_rows=50)
    for number, part in enumerate(parts[:2]):
        table.append(part, transaction=f"part {number}")
    first_index, first_plan = make(table.snapshot(), bucket)
    assert first_index.scanned == 2
    pinned = table.snapshot().id

    table.append(parts[2], transaction="part 2")
    index, plan = make(table.snapshot(), bucket)
    assert index.scanned == 1  # the files of the first two appends are known
    assert index.series == ("a", "b", "é")

    snapshot = open_table(lake, uri, format=kind).snapshot(index.snapshot.id)
    frozen = Plan.from_bytes(plan.to_bytes())
    reader = WindowReader(snapshot, frozen, ("x", "y"))
    rows = pa.concat_tables(parts).to_pydict()
    times = pa.array(rows["t"], pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    values = [[np.nan if v is None else v for v in rows[name]] for name in ("x", "y")]
    rows = list(zip(rows["name"], times, *values, strict=True))
    for split in SPLITS:
        expected = naive_windows(rows, WINDOW, None, plan.splits[split])
        seen = {
            (series, start): (t, v)
            for *_, windows in drain(frozen, reader, split, ranks=2, seed=1, batch_size=16)
            for _, series, start, t, v in windows
        }
        assert seen == {name: (t.tobytes(), v.tobytes()) for name, (t, v) in expected.items()}
        assert len(expected) == plan.windows(split)

    train_end = plan.splits["train"][1]
    known = np.array([row[3] for row in rows if row[1] < train_end], np.float32).astype(np.float64)
    scaling = fit_scaling(snapshot, frozen, ("x", "y"))
    assert scaling.mean[1] == pytest.approx(np.nanmean(known))
    assert last_contexts(frozen, reader).batch.times[:, 19].tolist() == [179 * 3_600_000_000] * 3

    # A pinned snapshot keeps its plan, whatever is appended later.
    _, again = make(open_table(lake, uri, format=kind).snapshot(pinned), bucket)
    assert again.id == first_plan.id != plan.id
