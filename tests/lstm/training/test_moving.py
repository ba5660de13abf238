"""A run goes on with a newer snapshot: what it learned is kept, and its windows are the new plan's."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lstm.tasks.forecast import ForecastTask
from lstm.training.launch import launch
from lstm.training.moving import CannotMove, moved_job
from lstm.training.planning import plan_for
from lstm.training.start import begin, pinned_snapshot, plan_of
from lstm.windows import Plan
from storage.checkpoints import Repository
from storage.objects import Bucket
from storage.tables import create_table
from storage.tables.errors import NoSuchSnapshot

HOUR = 3_600_000_000
FIRST = 1_700_000_000_000_000 // HOUR * HOUR


def rows(first, hours, names=("a", "b"), step=HOUR):
    times = FIRST + np.tile(np.arange(first, first + hours), len(names)) * step
    random = np.random.default_rng(first)
    return pa.table(
        {
            "series": np.repeat(names, hours),
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "load": pa.array(random.standard_normal(hours * len(names)), pa.float32()),
            "temp": pa.array(random.standard_normal(hours * len(names)), pa.float32()),
        }
    )


@pytest.fixture
def grown(lake, make_job, bucket):
    """A job on a table's first snapshot, and the table, which can be appended to."""
    table = create_table(lake, f"s3://{bucket.name}/waves", rows(0, 1).schema)
    pinned = table.append(rows(0, 200), transaction="first").snapshot_id
    job = make_job("grows")
    job = replace(job, bucket=bucket.name, table=replace(job.table, uri=table.uri, snapshot=pinned))
    return job, table


def begun(job, lake, attempt):
    """The commit that a launch of this job would train from."""
    repository = Repository.create(Bucket(job.bucket, lake.access), job.repository)
    start = begin(job, lake, lake, repository, attempt=attempt, resume=True)
    return repository.restore(job.run, start.commit), start.notes


def weights(restored):
    return {name: bytes(it.data) for name, it in restored.tensors.items() if name != "plan"}


def test_weights_and_scaling_are_kept_and_the_plan_is_that_of_the_new_snapshot(grown, lake):
    job, table = grown
    first, _ = begun(job, lake, "a1")
    newest = table.append(rows(200, 100, names=("a", "b", "c")), transaction="more").snapshot_id
    moved = moved_job(job, table, None)
    assert moved.table.snapshot == newest
    second, notes = begun(moved, lake, "a2")
    fresh = plan_for(moved, pinned_snapshot(moved, lake), Bucket(job.bucket, lake.access))
    assert plan_of(second).id == fresh.id == second.meta["plan_id"] != first.meta["plan_id"]
    assert weights(second) == weights(first)
    assert second.meta["task"]["scaling"] == first.meta["task"]["scaling"]
    assert second.meta["task"]["series"] == ["a", "b", "c"]
    assert (second.commit.step, second.meta["cursor"], second.meta["finished"]) == (0, None, False)
    assert "goes on with snapshot" in notes[0]


def test_null_policies_and_statistics_by_series_go_with_the_run(grown, lake):
    job, table = grown
    nulls = {"temp": "forward_fill", "load": "drop_window"}
    job = replace(job, forecast=replace(job.forecast, nulls=nulls, scale="series"))
    first, _ = begun(job, lake, "a1")
    assert plan_of(first).nulls.policies == {"load": "drop_window", "temp": "forward_fill"}
    table.append(rows(200, 100, names=("a", "b", "c")), transaction="more")
    second, _ = begun(moved_job(job, table, None), lake, "a2")
    assert plan_of(second).nulls.policies == plan_of(first).nulls.policies
    assert second.meta["task"]["by_series"] == first.meta["task"]["by_series"]
    task = ForecastTask.from_state(second.meta["task"])
    assert (task.series, task.unmeasured) == (("a", "b", "c"), ("c",))


def test_the_commit_records_every_change(grown, lake):
    job, table = grown
    first, _ = begun(job, lake, "a1")
    for number in (1, 2):
        table.append(rows(100 + 100 * number, 100), transaction=str(number))
        job = moved_job(job, table, None)
        last, _ = begun(job, lake, f"b{number}")
    one, other = last.meta["moves"]
    assert (one["from"]["id"], one["commit"]) == (first.meta["snapshot"]["id"], first.commit.id)
    assert one["to"]["id"] == other["from"]["id"]
    assert other["to"] == {
        **last.meta["snapshot"],
        "plan_id": last.meta["plan_id"],
        "windows": last.meta["windows"],
    }
    again, notes = begun(job, lake, "c")
    assert (again.commit.id, notes) == (last.commit.id, ())  # nothing moves twice


def test_the_snapshot_that_was_left_may_be_gone(grown, lake, bucket):
    job, table = grown
    begun(job, lake, "a1")
    old = table.snapshot().files
    table.append(rows(200, 100), transaction="more")
    moved = moved_job(job, table, None)
    pinned_snapshot(moved, lake)
    plan_for(moved, pinned_snapshot(moved, lake), Bucket(job.bucket, lake.access))  # indexed before
    for file in old:
        bucket.delete(file.path.removeprefix(f"s3://{bucket.name}/"))
    restored, _ = begun(moved, lake, "a2")
    assert isinstance(plan_of(restored), Plan)


def test_an_older_snapshot_is_refused_and_an_unknown_one(grown, lake):
    job, table = grown
    table.append(rows(200, 100), transaction="more")
    job = moved_job(job, table, None)
    with pytest.raises(CannotMove, match=r"is older than .* name a newer one"):
        moved_job(job, table, "1")
    with pytest.raises(NoSuchSnapshot, match="no version 99"):
        moved_job(job, table, "99")


def test_rows_another_time_apart_are_refused_and_nothing_is_committed(grown, lake):
    job, table = grown
    first, _ = begun(job, lake, "a1")
    table.append(rows(10_000, 3_000, names=("c", "d"), step=HOUR // 4), transaction="finer")
    with pytest.raises(CannotMove, match=r"900 s apart, but .* 3600 s apart; resample"):
        begun(moved_job(job, table, None), lake, "a2")
    again, _ = begun(job, lake, "a3")
    assert again.commit.id == first.commit.id


@pytest.mark.slow
def test_a_run_that_moved_trains_on_to_its_end(grown, lake, runner):
    job, table = grown
    runner.stopped_at_step(job, 10)
    table.append(rows(200, 100, names=("a", "b", "c")), transaction="more")
    moved = moved_job(job, table, None)
    told = []
    done = launch(moved, lake, attempt="moved", resume=True, log=runner.log, on_event=told.append)
    assert done.step == moved.training.steps
    (started,) = [event for event in told if event["event"] == "started"]
    assert started["step"] >= 10
    assert any("goes on with snapshot" in note for note in started["notes"])
    last = runner.repository(moved).restore(moved.run, done.commit)
    assert [move["step"] for move in last.meta["moves"]] == [started["step"]]
    assert last.meta["cursor"]["plan_id"] == last.meta["plan_id"]
