"""A stream for whoever uses nothing else: from an address to batches, as docs/windows-alone.md says."""

import json
import re
from datetime import datetime, timedelta, timezone
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake

from lstm.windows import SplitSpec, open_stream, open_windows
from lstm.windows.errors import MissingColumn, WindowError, WrongColumnType
from lstm.windows.open import Asked
from storage.errors import UserError
from storage.object_access import renew
from storage.objects import Bucket
from storage.tables import (
    ENTITY_PROPERTY,
    TIME_PROPERTY,
    CatalogSettings,
    Lake,
    create_table,
    lake_for,
)

from .conftest import HOUR

PAGE = Path(__file__).parents[3] / "docs" / "windows-alone.md"
HOURS = 1000


def sensors():
    """Two sensors, hourly; load counts, temp is unknown at times."""
    random = np.random.default_rng(1)
    rows = 2 * HOURS
    return pa.table(
        {
            "sensor": np.repeat(["north", "south"], HOURS),
            "time": pa.array(np.tile(np.arange(HOURS), 2) * HOUR, pa.timestamp("us", "UTC")),
            "load": np.arange(rows, dtype=np.float64),
            "temp": pa.array(random.standard_normal(rows), mask=random.random(rows) < 0.1),
            "note": ["-"] * rows,
        }
    )


@pytest.fixture
def lake_of_this_machine(s3_server, monkeypatch, tmp_path):
    """What a stranger has: AWS settings in the environment, and a bucket `lake`."""
    access = s3_server.access
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", access.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_key)
    renew()
    bucket = Bucket("lake", access)
    bucket.create()
    catalog = CatalogSettings(uri=f"sqlite:///{tmp_path}/catalog.db", warehouse="s3://lake/warehouse")
    yield Lake(access=access, catalog=catalog)
    for info in bucket.list("sensors/"):
        bucket.delete(info.key)
    renew()


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_the_ten_lines_of_the_page_run_on_a_real_table(lake_of_this_machine, kind, capsys):
    table = create_table(
        lake_of_this_machine, "s3://lake/sensors", sensors().schema, format=kind, row_group_rows=100
    )
    table.append(sensors(), transaction="all")
    block, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    seen = []
    names = {"train_on": seen.append}
    exec(block, names)
    with names["stream"] as stream:
        values = np.concatenate(seen)
        assert len(seen) == len(stream) == 5
        assert values.shape == (stream.plan.windows("train"), 120, 2)
        assert len(np.unique(values[:, 0, 0])) == len(values)  # load counts rows: each window once
        assert np.array_equal(values[:, :, 0], values[:, :1, 0] + np.arange(120))
        assert np.isnan(values[..., 1]).any()
        assert len(json.dumps(names["state"])) < 300
        stream.load_state_dict({**names["state"], "epoch": 0, "samples_consumed": 256})
        assert np.array_equal(next(iter(stream)).values, seen[1], equal_nan=True)
    assert np.array_equal(names["again"].values, seen[3], equal_nan=True)
    assert capsys.readouterr().out.startswith(("north [", "south ["))


def test_the_pages_block_has_ten_lines_and_a_bit():
    block, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10


def test_the_pages_loop_over_tracks_carries_the_state_of_one_series_at_a_time(lake_of_this_machine):
    table = create_table(lake_of_this_machine, "s3://lake/sensors", sensors().schema, format="delta")
    table.append(sensors(), transaction="all")
    _, block = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lstm, seen = torch.nn.LSTM(2, 8, batch_first=True), []
    exec(block, {"lstm": lstm, "learn": lambda out, batch: seen.append((out.detach(), batch))})
    assert sum(len(batch) for _, batch in seen) == 2 * 7  # 700 training rows of each sensor: 96 at a time
    # a track's outputs are those of one long pass over its stretch
    whole = {}
    for out, batch in seen:
        for row, (track, series) in enumerate(zip(batch.track.tolist(), batch.series.tolist(), strict=True)):
            if batch.reset[row]:
                whole[track] = []
            values = np.nan_to_num(batch.values[row, :96])
            whole[track].append(torch.from_numpy(values))
            expected, _ = lstm(torch.cat(whole[track])[None])
            assert torch.allclose(out[row], expected[0, -96:], atol=1e-5), series


@pytest.fixture
def folder(tmp_path):
    """A local Delta table, written in three commits by the Delta library itself."""
    rows = sensors()
    place = tmp_path / "local sensors"
    for at in range(0, HOURS, 200):
        part = pa.concat_tables([rows.slice(at, 200), rows.slice(HOURS + at, 200)])
        write_deltalake(place, part, mode="append")
    return place


def test_a_local_folder_gives_the_windows_of_the_same_table_in_a_bucket(folder, s3_server, bucket):
    options = {"time": "time", "entity": "sensor", "context": 20, "horizon": 4}
    lake, uri = lake_for(s3_server), f"s3://{bucket.name}/sensors"
    create_table(lake, uri, sensors().schema).append(sensors(), transaction="all")
    seen = []
    for table, where in ((str(folder), None), (uri, lake)):
        with open_stream(table, lake=where, **options) as stream:
            assert stream.columns == ("load", "temp")
            seen.append(
                {
                    (entity, int(start)): values.tobytes()
                    for batch in stream
                    for entity, start, values in zip(
                        stream.entities(batch), batch.starts, batch.values, strict=True
                    )
                }
            )
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2 * (700 - 23)


def test_a_local_snapshot_can_be_pinned(folder):
    options = {"time": "time", "entity": "sensor", "context": 20, "horizon": 4}
    old = open_windows(str(folder), snapshot="0", **options)
    assert (old.plan.rows, open_windows(str(folder), **options).plan.rows) == (400, 2000)
    assert open_windows(folder, snapshot=0, **options).plan.id == old.plan.id  # a path, and a number


def test_a_split_may_begin_at_a_datetime(folder):
    def planned(begin):
        splits = SplitSpec(validation_from=begin, test=0)
        return open_windows(folder, time="time", entity="sensor", context=20, horizon=4, splits=splits).plan

    begin = datetime(1970, 2, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert planned(begin).id == planned(begin.isoformat()).id
    assert planned(begin).windows("validation") == planned("1970-02-01T00:00Z").windows("validation") > 0


def test_the_tables_own_keys_are_taken_unless_said_otherwise(s3_server, bucket):
    lake, uri = lake_for(s3_server), f"s3://{bucket.name}/sensors"
    said = {TIME_PROPERTY: "time", ENTITY_PROPERTY: "sensor"}
    table = create_table(lake, uri, sensors().schema, properties=said)
    table.append(sensors(), transaction="all")
    windows = open_windows(uri, lake=lake, context=20, horizon=4)
    assert windows.plan.series == ("north", "south")
    assert windows.scaling().count[0] == 2 * 700


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"time": None}, WindowError, r"name it: time=…, one of sensor, time, load"),
        ({"time": "tiem"}, MissingColumn, "no column 'tiem'; it has: sensor, time"),
        ({"entity": "load"}, WrongColumnType, "entities must be integers or text"),
        ({"columns": ["load", "note"]}, WrongColumnType, "features must be numbers"),
        ({"columns": "load"}, WindowError, "a list of at least one column"),
        ({"columns": []}, WindowError, "a list of at least one column"),
        ({"context": 0}, ValueError, "context must be >= 1"),
        ({"context": 10_000}, WindowError, "a window needs 10004"),
        ({"splits": SplitSpec(validation=0.001)}, WindowError, "change the shares"),
        ({"snapshot": "9"}, UserError, "no version 9"),
        ({"snapshot": 9}, UserError, "no version 9"),
        ({"context": 5.0}, ValueError, r"context must be a whole number of rows, got 5\.0"),
        ({"stride": "2"}, ValueError, "stride must be a whole number of rows, got '2'"),
        ({"memory_mib": 0.5}, WindowError, r"whole number of MiB, at least 1, got 0\.5"),
        ({"memory_mib": 0}, WindowError, "at least 1, got 0"),
        ({"columns": [1]}, WindowError, r"names, or Column\(name=…\) to say more, got 1"),
        ({"splits": {"validation": 0.1}}, WindowError, r"splits must be a SplitSpec\(…\), got {'validation'"),
    ],
)
def test_what_cannot_serve_is_told_in_words(folder, change, error, message):
    options = {"time": "time", "entity": "sensor", "context": 20, "horizon": 4} | change
    with pytest.raises(error, match=message):
        open_stream(str(folder), **options)


def test_a_folder_that_is_no_table_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no Delta table"):
        open_stream(str(tmp_path), time="t", context=1, horizon=1)
    with pytest.raises(UserError, match="there is no folder"):
        open_stream(str(tmp_path / "none"), time="t", context=1, horizon=1)


def test_whatever_open_windows_takes_may_be_passed_on():
    takes = get_type_hints(open_windows)
    del takes["table"], takes["return"]
    assert get_type_hints(Asked) == takes
    needed = {it.name for it in signature(open_windows).parameters.values() if it.default is it.empty}
    assert needed - {"table"} == Asked.__required_keys__
