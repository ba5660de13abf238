"""Promises that every table format keeps. Subclass, and supply `lake`, `uri` and `format_`.

Those that rest on the server of the objects, on its conditions, lists and ranges, bear the mark `server`. A
subclass with `sampled = True` runs these by default, and the others, which rest on our code alone, with the
slow tests.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from storage import uri as uris
from storage.objects import Bucket
from storage.tables.errors import (
    NoSuchColumn,
    NoSuchSnapshot,
    SchemaMismatch,
    SnapshotDamaged,
    TableExists,
    TableMissing,
)
from storage.tables.open import Format, Lake, create_table, list_tables, open_table
from storage.tables.protocol import Table

from .rows import EVERY_TYPE, HOUR, SENSORS, UTC_US, count, every_type, read_all, sensors
from .writers import append_at_once


class TableContract:
    format_: Format
    sampled = False

    @pytest.fixture
    def lake(self, embedded: Lake) -> Lake:
        return embedded

    @pytest.fixture
    def table(self, lake: Lake, uri: str) -> Table:
        return create_table(lake, uri, SENSORS, format=self.format_, row_group_rows=100)

    @pytest.fixture
    def at_commit(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
        """Calls something each time that a commit is about to be sent."""
        raise NotImplementedError

    @pytest.fixture
    def lost_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first commit lands, and its answer is lost."""
        raise NotImplementedError

    # --- create, open, list

    def test_an_empty_table_has_its_columns_and_no_rows(self, table, lake, uri):
        assert table.schema.equals(SENSORS)
        snapshot = table.snapshot()
        assert (snapshot.files, snapshot.schema.equals(SENSORS)) == ((), True)
        assert open_table(lake, uri, format=self.format_).snapshot(snapshot.id).files == ()

    @pytest.mark.server
    def test_creating_it_again_opens_it(self, table, lake, uri):
        table.append(sensors(10), transaction="a")
        assert count(create_table(lake, uri, SENSORS, format=self.format_)) == 10

    def test_its_creator_may_note_properties_and_later_ones_change_nothing(self, lake, uri):
        noted = {"carousel.time": "time", "carousel.entity": 'a "quoted" name, é'}
        create_table(lake, uri, SENSORS, format=self.format_, properties=noted)
        again = create_table(lake, uri, SENSORS, format=self.format_, properties={"carousel.time": "other"})
        assert again.append(sensors(3), transaction="t").added
        assert noted.items() <= open_table(lake, uri).properties.items()

    @pytest.mark.server
    def test_creating_it_twice_at_once_makes_one_table(self, lake, uri):
        def create(number: int) -> None:
            table = create_table(lake, uri, SENSORS, format=self.format_)
            table.append(sensors(10), transaction=str(number))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(create, range(3)))
        assert count(open_table(lake, uri, format=self.format_)) == 30

    def test_creating_it_again_is_refused_where_it_must_be_new(self, table, lake, uri):
        with pytest.raises(TableExists, match="already"):
            create_table(lake, uri, SENSORS, format=self.format_, exist_ok=False)

    def test_creating_it_with_other_columns_is_refused(self, table, lake, uri):
        with pytest.raises(TableExists, match=r"other columns.*n int64"):
            create_table(lake, uri, SENSORS.remove(3), format=self.format_)

    def test_creating_it_in_the_other_format_is_refused(self, table, lake, uri):
        other: Format = "iceberg" if self.format_ == "delta" else "delta"
        with pytest.raises(TableExists, match=f"format {self.format_}"):
            create_table(lake, uri, SENSORS, format=other)

    def test_it_is_found_without_naming_its_format(self, table, lake, uri):
        assert open_table(lake, uri).format == self.format_

    @pytest.mark.server
    def test_it_is_listed(self, table, lake, uri):
        bucket, key = uris.parse(uri)
        listed = list_tables(lake, bucket, key)
        assert [it.format for it in listed if it.uri == uri] == [self.format_]

    @pytest.mark.server
    def test_where_no_table_is_the_message_says_so(self, lake, uri):
        with pytest.raises(TableMissing, match=r"no .*table"):
            open_table(lake, uri, format=self.format_)

    @pytest.mark.parametrize(
        ("field", "remedy"),
        [
            (pa.field("v", pa.timestamp("ns", "UTC")), 'timestamp\\("us", tz="UTC"\\)'),
            (pa.field("v", pa.int16()), "int32"),
            (pa.field("v", pa.float16()), "float32"),
            (pa.field("v", pa.dictionary(pa.int32(), pa.string())), "string"),
            (pa.field("X", pa.float32()), "rename"),
        ],
    )
    def test_types_that_not_every_format_holds_are_refused(self, lake, uri, field, remedy):
        with pytest.raises(SchemaMismatch, match=remedy):
            create_table(lake, uri, SENSORS.append(field), format=self.format_)

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
            ("AWS_SESSION_TOKEN", "of another account"),
            ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
            ("AWS_SKIP_SIGNATURE", "true"),
            ("AWS_CONDITIONAL_PUT", "disabled"),
            ("AWS_S3_EXPRESS", "true"),
            ("AWS_REGION", "eu-north-1"),
        ],
    )
    def test_the_environment_does_not_overrule_the_access_that_was_given(
        self, lake, uri, monkeypatch, variable, value
    ):
        monkeypatch.setenv(variable, value)
        table = create_table(lake, uri, SENSORS, format=self.format_)
        assert table.append(sensors(10), transaction="a").added
        assert read_all(table.snapshot()).equals(sensors(10))

    # --- append and read

    @pytest.mark.server
    def test_every_type_comes_back_as_it_was_written(self, lake, uri):
        table = create_table(lake, uri, EVERY_TYPE, format=self.format_, row_group_rows=40)
        rows = every_type(100)
        table.append(rows, transaction="a")
        again = read_all(table.snapshot())
        assert again.schema.equals(EVERY_TYPE)
        assert _same(again, rows)

    def test_rows_keep_their_order_in_row_groups_of_the_given_size(self, table):
        rows = sensors(250).take(np.random.default_rng(0).permutation(250))
        table.append(rows, transaction="a")
        snapshot = table.snapshot()
        assert [snapshot.row_groups(file) for file in snapshot.files] == [(100, 100, 50)]
        assert read_all(snapshot).equals(rows)

    @pytest.mark.server
    def test_appends_are_read_in_the_order_of_their_commits(self, table):
        for number in range(4):
            table.append(sensors(10, first=10 * number), transaction=str(number))
        assert read_all(table.snapshot()).equals(sensors(40))

    @pytest.mark.server
    def test_a_large_append_becomes_several_files_in_order(self, table, monkeypatch):
        monkeypatch.setattr("storage.tables.writing._FILE_BYTES", 8_000)
        table.append(sensors(1_000), transaction="a")
        snapshot = table.snapshot()
        assert len(snapshot.files) > 2
        assert read_all(snapshot).equals(sensors(1_000))

    def test_columns_come_in_the_order_asked(self, table):
        table.append(sensors(10), transaction="a")
        snapshot = table.snapshot()
        wanted = ["n", "entity", "x"]
        read = snapshot.read(snapshot.files[0], 0, wanted)
        assert read.equals(sensors(10).select(wanted))

    def test_no_columns_still_have_rows(self, table):
        table.append(sensors(10), transaction="a")
        snapshot = table.snapshot()
        assert snapshot.row_groups(snapshot.files[0]) == (10,)

    def test_a_column_that_is_not_there_is_named_with_those_that_are(self, table):
        table.append(sensors(10), transaction="a")
        snapshot = table.snapshot()
        with pytest.raises(NoSuchColumn, match=r"'wind'.*'entity', 'time', 'x', 'n'"):
            snapshot.read(snapshot.files[0], 0, ["wind"])
        with pytest.raises(NoSuchColumn):
            snapshot.column_identity("wind")

    def test_columns_may_come_in_any_order_and_nullable_ones_be_left_out(self, table):
        table.append(sensors(10).select(["n", "time", "entity"]), transaction="a")
        read = read_all(table.snapshot())
        assert read.column("x").null_count == 10
        assert read.select(["entity", "time", "n"]).equals(sensors(10).select(["entity", "time", "n"]))

    def test_types_that_fit_without_loss_are_taken(self, table):
        rows = pa.table(
            {
                "entity": pa.array(["a", "b"]).dictionary_encode(),
                "time": pa.array([0, HOUR // 1000], pa.timestamp("ms", "Europe/Berlin")),
                "x": pa.array([1, 2], pa.float16()),
                "n": pa.array([1, 2], pa.int8()),
            }
        )
        table.append(rows, transaction="a")
        assert read_all(table.snapshot()).equals(rows.cast(SENSORS))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda rows: rows.append_column("wind", [[1.0] * 10]), "'wind' is not a column"),
            (lambda rows: rows.drop_columns(["entity"]), "'entity' is missing"),
            (
                lambda rows: _with(rows, "entity", pa.array([None] * 10, pa.string())),
                "'entity' is null in 10",
            ),
            (lambda rows: _with(rows, "n", pa.array([1.0] * 10)), "'n' is double, the table's is int64"),
            (lambda rows: _with(rows, "x", pa.array([0.1] * 10)), "'x' is double, the table's is float"),
            (lambda rows: _with(rows, "time", rows["time"].cast(pa.timestamp("us"))), "'time' is timestamp"),
            (lambda rows: _with(rows, "n", pa.array(["1"] * 10)), "'n' is string"),
            (
                lambda rows: _with(rows, "time", pa.array([1] * 10, pa.timestamp("ns", "UTC"))),
                "'time' .*cannot",
            ),
        ],
    )
    def test_rows_that_do_not_fit_are_refused_and_nothing_is_added(self, table, change, message):
        with pytest.raises(SchemaMismatch, match=message):
            table.append(change(sensors(10)), transaction="a")
        assert count(table) == 0

    def test_an_append_needs_a_transaction(self, table):
        with pytest.raises(ValueError, match="transaction"):
            table.append(sensors(10), transaction="")

    def test_an_append_without_rows_commits_nothing_and_leaves_the_transaction_free(self, table):
        before = table.snapshot().id
        empty = table.append(sensors(0), transaction="a")
        assert (empty.added, empty.rows, empty.snapshot_id, table.snapshot().id) == (False, 0, before, before)
        assert table.append(sensors(10), transaction="a").added
        assert count(table) == 10

    # --- exactly once

    def test_a_replayed_append_adds_no_rows(self, table):
        first = table.append(sensors(10), transaction="a")
        second = table.append(sensors(10), transaction="a")
        assert (first.added, second.added, count(table)) == (True, False, 10)
        assert sum(it.rows for it in table.snapshot(second.snapshot_id).files) == 10

    def test_a_table_knows_what_has_landed(self, table, lake, uri):
        table.append(sensors(10), transaction="a")
        table.append(sensors(0), transaction="nothing")
        again = open_table(lake, uri, format=self.format_)
        assert [again.landed(name) for name in ("a", "b", "nothing")] == [True, False, False]
        assert count(table) == 10

    def test_a_replay_is_recognised_after_other_appends(self, table, lake, uri):
        for number in range(5):
            table.append(sensors(10), transaction=f"hour {number}")
        again = open_table(lake, uri, format=self.format_).append(sensors(10), transaction="hour 1")
        assert (again.added, count(table)) == (False, 50)

    @pytest.mark.server
    def test_two_replays_that_both_see_the_rows_missing_add_them_once(self, table, at_commit):
        together = threading.Barrier(2)
        waited = threading.local()

        def wait_once() -> None:
            if not getattr(waited, "done", False):
                waited.done = True
                together.wait(600)

        at_commit(wait_once)
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda _: table.append(sensors(10), transaction="a"), range(2)))
        assert sorted(it.added for it in outcomes) == [False, True]
        assert read_all(table.snapshot()).equals(sensors(10))

    def test_replays_in_two_processes_add_the_rows_once(self, table, lake, uri):
        append_at_once(lake, uri, self.format_, [["a", "b", "c"]] * 2)
        assert count(table) == 30

    @pytest.mark.server
    def test_concurrent_appends_all_land(self, table):
        def append(writer: int) -> None:
            for number in range(3):
                rows = sensors(10, first=100 * writer + 10 * number)
                assert table.append(rows, transaction=f"{writer}/{number}").added

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(append, range(3)))
        rows = read_all(table.snapshot()).column("n").to_pylist()
        assert sorted(rows) == sorted(
            100 * w + 10 * i + j for w in range(3) for i in range(3) for j in range(10)
        )

    @pytest.mark.server
    def test_a_commit_whose_answer_was_lost_counts_as_added(self, table, lost_answer):
        assert table.append(sensors(10), transaction="a").added
        assert count(table) == 10

    @pytest.mark.server
    def test_files_are_uploaded_once_however_often_a_commit_loses(self, table, lake, uri, at_commit):
        rivals = iter(range(3))

        def win() -> None:
            number = next(rivals, None)
            if number is not None:
                open_table(lake, uri, format=self.format_).append(sensors(1), transaction=f"rival {number}")

        at_commit(_only_in(threading.current_thread(), win))
        outcome = table.append(sensors(10), transaction="a")
        assert (outcome.added, count(table)) == (True, 13)
        places = {uris.parse(it.path)[0] for it in table.snapshot().files}
        folder = table.snapshot().files[0].path.rpartition("/")[0]
        stored = [
            info
            for place in places
            for info in Bucket(place, lake.access).list(uris.parse(folder)[1])
            if info.key.endswith(".parquet")
        ]
        assert len(stored) == 4

    # --- snapshots

    def test_a_pinned_snapshot_does_not_change(self, table, lake, uri):
        table.append(sensors(10), transaction="a")
        pinned = table.snapshot()
        table.append(sensors(10, first=10), transaction="b")
        assert read_all(pinned).equals(sensors(10))
        again = open_table(lake, uri, format=self.format_).snapshot(pinned.id)
        assert (again.id, again.files, again.created) == (pinned.id, pinned.files, pinned.created)
        assert read_all(again).equals(sensors(10))

    @pytest.mark.server
    def test_history_is_listed_oldest_first_and_can_be_read(self, table):
        ids = [table.append(sensors(10), transaction=str(number)).snapshot_id for number in range(3)]
        history = table.snapshots()
        assert [it.id for it in history][-3:] == ids
        assert [it.created for it in history] == sorted(it.created for it in history)
        assert [sum(f.rows for f in table.snapshot(it.id).files) for it in history][-3:] == [10, 20, 30]

    def test_a_snapshot_as_of_a_time_is_the_last_one_before_it(self, table):
        for number in range(3):
            table.append(sensors(10), transaction=str(number))
        *_, first, second, third = table.snapshots()
        assert table.snapshot(at=first.created).id == first.id
        assert table.snapshot(at=second.created - timedelta(milliseconds=1)).id == first.id
        assert table.snapshot(at=third.created + timedelta(days=1)).id == third.id

    def test_a_time_before_the_first_snapshot_is_refused_with_the_range(self, table):
        table.append(sensors(10), transaction="a")
        first = table.snapshots()[0]
        with pytest.raises(NoSuchSnapshot, match=first.created.isoformat()[:19]):
            table.snapshot(at=first.created - timedelta(seconds=1))

    def test_a_time_without_a_zone_is_refused(self, table):
        with pytest.raises(ValueError, match="time zone"):
            table.snapshot(at=datetime(2026, 1, 1))

    @pytest.mark.parametrize("snapshot_id", ["987654321", "-1", "newest", ""])
    def test_a_snapshot_that_is_not_there_is_refused_with_the_range(self, table, snapshot_id):
        known = table.append(sensors(10), transaction="a").snapshot_id
        with pytest.raises(NoSuchSnapshot, match=known):
            table.snapshot(snapshot_id)

    # --- files

    def test_statistics_bound_the_values_and_count_the_nulls(self, lake, uri):
        table = create_table(lake, uri, EVERY_TYPE, format=self.format_)
        rows = every_type(100)
        table.append(rows, transaction="a")
        (file,) = table.snapshot().files
        for name in ("entity", "time", "x", "n", "small", "day", "local", "price"):
            found, values = (
                file.statistics[name],
                [it for it in rows.column(name).to_pylist() if it is not None],
            )
            assert found.min <= min(values) <= max(values) <= found.max, name
            assert found.nulls == rows.column(name).null_count
        assert file.statistics["time"].min == rows.column("time")[0].as_py()
        assert set(file.statistics) <= set(EVERY_TYPE.names)

    def test_times_after_the_year_9999_and_infinities_have_no_bounds(self, lake, uri):
        schema = pa.schema(
            [
                pa.field("time", UTC_US),
                pa.field("local", pa.timestamp("us")),
                pa.field("day", pa.date32()),
                pa.field("x", pa.float64()),
            ]
        )
        table = create_table(lake, uri, schema, format=self.format_)
        far = 9 * 10**17
        rows = pa.table(
            {
                "time": pa.array([0, far], UTC_US),
                "local": pa.array([0, far], pa.timestamp("us")),
                "day": pa.array([0, 2**30], pa.int32()).cast(pa.date32()),
                "x": [float("-inf"), float("inf")],
            },
            schema=schema,
        )
        assert table.append(rows, transaction="a").added
        assert read_all(table.snapshot()).equals(rows)
        (file,) = table.snapshot().files
        for name in ("time", "local", "day"):
            assert (file.statistics[name].max, file.statistics[name].nulls) == (None, 0)

    def test_a_null_in_a_list_that_may_not_have_any_is_refused(self, lake, uri):
        strict = pa.schema([pa.field("frame", pa.list_(pa.field("element", pa.int64(), False)))])
        table = create_table(lake, uri, strict, format=self.format_)
        with pytest.raises(SchemaMismatch, match="'frame'"):
            table.append(pa.table({"frame": [[1, None], None]}), transaction="a")
        assert table.append(pa.table({"frame": [[1, 2], None]}), transaction="a").added

    def test_a_files_identity_is_the_same_in_every_process_and_its_own(self, table, lake, uri):
        for number in range(3):
            table.append(sensors(10), transaction=str(number))
        files = table.snapshot().files
        assert len({it.identity for it in files}) == 3
        assert open_table(lake, uri, format=self.format_).snapshot().files == files

    def test_a_columns_identity_is_its_own(self, table):
        snapshot = table.snapshot()
        assert len({snapshot.column_identity(name) for name in SENSORS.names}) == 4
        assert table.snapshot().column_identity("x") == snapshot.column_identity("x")

    @pytest.mark.server
    def test_reading_one_column_of_one_row_group_fetches_little(self, lake, uri):
        table = create_table(lake, uri, SENSORS, format=self.format_, row_group_rows=20_000)
        rows = _with(sensors(200_000), "x", pa.array(np.random.default_rng(0).random(200_000), pa.float32()))
        table.append(rows, transaction="a")
        snapshot = table.snapshot()
        (file,) = snapshot.files
        snapshot.row_groups(file)
        before = snapshot.traffic
        read = snapshot.read(file, 7, ["x"])
        after = snapshot.traffic
        assert read.column("x").equals(rows.slice(140_000, 20_000).column("x"))
        assert after.fetched - before.fetched == after.needed - before.needed < file.size / 10

    @pytest.mark.parametrize(("first", "end"), [(0, 0), (3, 4), (10, 60), (0, 100), (99, 100)])
    def test_some_rows_of_a_row_group_are_those_of_the_whole(self, table, first, end):
        table.append(sensors(250), transaction="a")
        snapshot = table.snapshot()
        names = ["n", "entity", "time", "x"]
        some = snapshot.read(snapshot.files[0], 1, names, (first, end))
        assert some.equals(sensors(250).select(names)[100 + first : 100 + end])

    def test_many_threads_read_one_snapshot(self, table):
        table.append(sensors(1_000), transaction="a")
        snapshot = table.snapshot()
        (file,) = snapshot.files
        groups = [*range(10)] * 4
        with ThreadPoolExecutor(8) as pool:
            parts = list(pool.map(lambda group: snapshot.read(file, group, ["n", "entity"]), groups))
        assert pa.concat_tables(parts[:10]).equals(sensors(1_000).select(["n", "entity"]))
        assert parts[:10] == parts[10:20] == parts[20:30] == parts[30:]

    @pytest.mark.parametrize("damage", ["gone", "shorter"])
    def test_a_damaged_file_is_named_with_its_snapshot_and_a_remedy(self, table, lake, damage):
        table.append(sensors(10), transaction="a")
        snapshot = table.snapshot()
        (file,) = snapshot.files
        name, key = uris.parse(file.path)
        bucket = Bucket(name, lake.access)
        if damage == "gone":
            bucket.delete(key)
        else:
            bucket.put(key, bucket.get(key).data[:-100])
        with pytest.raises(SnapshotDamaged, match=f"{file.path}.*{snapshot.id}.*pin a newer"):
            snapshot.row_groups(file)

    def test_a_file_of_another_snapshot_is_refused(self, table):
        table.append(sensors(10), transaction="a")
        older = table.snapshot()
        table.append(sensors(10), transaction="b")
        with pytest.raises(ValueError, match="no file of snapshot"):
            older.row_groups(table.snapshot().files[1])
        with pytest.raises(IndexError, match="1 row groups"):
            older.read(older.files[0], 1, ["n"])

    def test_another_engine_reads_the_files(self, table, lake, tmp_path: Path):
        table.append(sensors(250), transaction="a")
        (file,) = table.snapshot().files
        name, key = uris.parse(file.path)
        (tmp_path / "file.parquet").write_bytes(Bucket(name, lake.access).get(key).data)
        with duckdb.connect() as connection:
            found = connection.execute(
                "SELECT count(*), count(x), sum(n), epoch_us(max(time)) FROM read_parquet($file)",
                {"file": str(tmp_path / "file.parquet")},
            ).fetchone()
        known = sensors(250).column("x").null_count
        assert found == (250, 250 - known, sum(range(250)), 23 * HOUR)

    def test_secrets_do_not_show(self, table, lake):
        secret = lake.access.secret_key
        assert secret is not None
        table.append(sensors(10), transaction="a")
        shown = repr((table, table.snapshot(), lake, table.snapshot().files))
        with pytest.raises(NoSuchSnapshot) as caught:
            table.snapshot("987654321")
        assert secret not in shown + str(caught.value)


def _with(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def _same(left: pa.Table, right: pa.Table) -> bool:
    """Equal, NaN included (which Arrow's `equals` takes for different from itself)."""
    wide = "wide"
    rest = left.drop_columns([wide]).equals(right.drop_columns([wide]))
    values = [
        np.array([np.inf if it is None else it for it in side[wide].to_pylist()]) for side in (left, right)
    ]
    return rest and np.array_equal(*values, equal_nan=True)


def _only_in(thread: threading.Thread, call: Callable[[], None]) -> Callable[[], None]:
    """Call it in one thread only, and not from within itself."""
    busy = False

    def guarded() -> None:
        nonlocal busy
        if threading.current_thread() is thread and not busy:
            busy = True
            call()
            busy = False

    return guarded
