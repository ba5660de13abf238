"""`carousel ingest` as people use it: from files, here and in buckets, into tables, without settings."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lstm.windows import index_snapshot
from lstm.windows.index.overlaps import check_overlaps
from pipelines.config.storage import StorageConfig
from pipelines.sources import body
from pipelines.surroundings.connect import connect
from storage.objects import Bucket
from storage.tables import ENTITY_PROPERTY, TIME_PROPERTY, Snapshot, Table, open_table

from .conftest import waves, write

SHARED = Path(__file__).parents[3] / "shared" / "data"


def table_at(root: Path, uri: str) -> Table:
    return open_table(connect(StorageConfig(), root).lake, uri)


def rows_of(snapshot: Snapshot) -> pa.Table:
    groups = [
        snapshot.read(file, group, snapshot.schema.names)
        for file in snapshot.files
        for group in range(len(snapshot.row_groups(file)))
    ]
    return pa.concat_tables(groups)


def text_of(rows: pa.Table) -> str:
    lines = [",".join("" if it is None else str(it) for it in row.values()) for row in rows.to_pylist()]
    return "\n".join([",".join(rows.column_names), *lines]) + "\n"


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_a_csv_file_becomes_a_table_that_windows_can_be_read_from(kind, carousel, root, tmp_path):
    rows = waves()
    (tmp_path / "waves.csv").write_text(text_of(rows.take(pc.sort_indices(rows["load"]))))
    uri = f"s3://lake/from-csv-{kind}"
    options = ["--table", uri, "--entity", "series", "--format", kind]
    done = carousel("ingest", tmp_path / "waves.csv", *options, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["added"], answer["known"], answer["format"]) == (600, 0, kind)
    table = table_at(root, uri)
    assert {TIME_PROPERTY: "time", ENTITY_PROPERTY: "series"}.items() <= table.properties.items()
    check_overlaps(index := index_snapshot(table.snapshot(answer["snapshot"]), entity="series", time="time"))
    assert len(index.series) == 3
    again = carousel("ingest", tmp_path / "waves.csv", "--table", uri)
    assert "0 rows added, 600 known already" in again.out
    assert f"train --table {uri}" in again.out


def test_files_of_a_bucket_are_found_by_a_glob_and_each_lands_once(carousel, root, tmp_path):
    bucket = Bucket("source", connect(StorageConfig(), root).lake.access)
    bucket.create()
    for name, rows in (("a", waves().slice(0, 200)), ("deep/b", waves().slice(200, 200))):
        bucket.put(f"in/{name}.parquet", write(rows, tmp_path / "rows.parquet").read_bytes())
    bucket.put("in/_SUCCESS", b"")
    ours = ["--table", "s3://lake/from-bucket", "--entity", "series"]
    assert "200 rows added" in carousel("ingest", "s3://source/in/*.parquet", *ours).out
    assert "200 rows added, 200 known already" in carousel("ingest", "s3://source/in/**/*.parquet", *ours).out
    assert "0 rows added, 400 known already" in carousel("ingest", "s3://source/in/", *ours).out
    absent = carousel("ingest", "s3://elsewhere/*.parquet", *ours)
    assert (absent.code, "--source-endpoint-url" in absent.err) == (2, True)
    assert not list(root.glob("ingest-*")), "fetched files were left behind"


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_the_files_of_a_table_in_a_bucket_are_refused_however_they_are_named(kind, carousel, root, tmp_path):
    path = write(waves(), tmp_path / "waves.parquet")
    uri = f"s3://lake/whole-{kind}"
    assert carousel("ingest", path, "--table", uri, "--entity", "series", "--format", kind).code == 0
    (part,) = (it.path for it in table_at(root, uri).snapshot().files)
    folder = part.rpartition("/")[0]
    table = folder.removesuffix("/data")
    for source in (part, f"{folder}/*.parquet", f"{folder[:-1]}*/**", table, f"{table}/"):
        done = carousel("ingest", source, "--table", "s3://lake/copy", "--entity", "series")
        assert done.code == 2, source
        assert f"belongs to the {kind.capitalize()} table {table}," in done.err
        assert f"carousel train --table {table}`" in done.err


def test_a_table_without_an_entity_and_its_address_on_another_server(carousel, root, tmp_path, monkeypatch):
    keys = json.loads((root / "s3" / "settings.json").read_text())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["secret_key"])
    connect(StorageConfig(), root)
    url = f"http://127.0.0.1:{keys['ports']['s3.port']}"
    path = write(waves(1).drop_columns(["series"]), tmp_path / "one.parquet")
    done = carousel("ingest", path, "--table", "s3://lake/one-series", "--endpoint-url", url)
    assert done.code == 0, done.err
    assert f"--endpoint-url {url}" in done.out
    assert ENTITY_PROPERTY not in table_at(root, "s3://lake/one-series").properties


def test_an_ingest_that_is_killed_goes_on_where_it_was(carousel, root, tmp_path, monkeypatch):
    rows = waves(series=4, hours=400)
    (tmp_path / "waves.csv").write_text(text_of(rows))
    uri = "s3://lake/killed"
    command = ["ingest", str(tmp_path / "waves.csv"), "--table", uri, "--entity", "series", "--json"]
    code = (
        "import os, signal, sys; from pipelines.cli import run; from pipelines.sources import body\n"
        "from storage.tables.delta import DeltaTable; body.PIECE_BYTES = 20_000; calls = []\n"
        "def append(self, *a, inner=DeltaTable.append, **k):\n"
        "    calls.append(1); len(calls) > 2 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return inner(self, *a, **k)\n"
        "DeltaTable.append = append\n"
        f"sys.exit(run({['--root', str(root), *command]!r}))"
    )

    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    landed = sum(file.rows for file in table_at(root, uri).snapshot().files)
    assert 0 < landed < rows.num_rows
    monkeypatch.setattr(body, "PIECE_BYTES", 20_000)
    done = carousel(*command)
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["known"], answer["added"]) == (landed, rows.num_rows - landed)
    snapshot = table_at(root, uri).snapshot()
    assert (
        rows_of(snapshot)
        .select(["series", "time"])
        .equals(
            rows.select(["series", "time"]).cast(
                pa.schema([snapshot.schema.field("series"), snapshot.schema.field("time")])
            )
        )
    )


@pytest.mark.parametrize(("kind", "entity"), [("delta", "series"), ("iceberg", None)])
def test_a_grown_export_is_refused_before_its_old_rows_stand_there_twice(
    kind, entity, carousel, root, tmp_path
):
    rows = waves(hours=400) if entity else waves(1, 400).drop_columns(["series"])
    hours = pc.rank(rows["time"], tiebreaker="dense")
    uri = f"s3://lake/grown-{kind}-{entity}"
    options = ["--table", uri, *(["--entity", entity] if entity else [])]
    old = write(rows.filter(pc.less_equal(hours, 300)), tmp_path / "old.parquet")
    assert carousel("ingest", old, *options, "--format", kind).code == 0
    before = table_at(root, uri).snapshot().id
    grown = carousel("ingest", write(rows, tmp_path / "grown.parquet"), "--table", uri)
    assert grown.code == 2
    assert "from other files, up to 2024-01-13T11:00:00Z" in grown.err
    assert "Keep only rows after 2024-01-13T11:00:00Z" in grown.err
    assert ("(and of 2 more series)" in grown.err) == (entity is not None)
    assert table_at(root, uri).snapshot().id == before
    new = write(rows.filter(pc.greater(hours, 300)), tmp_path / "new.parquet")
    done = json.loads(carousel("ingest", old, new, "--table", uri, "--json").out)
    series = 3 if entity else 1
    assert (done["known"], done["added"]) == (300 * series, 100 * series)
    index = index_snapshot(table_at(root, uri).snapshot(), entity=entity, time="time")
    check_overlaps(index)


def test_an_append_that_fails_says_what_had_landed(carousel, tmp_path, monkeypatch):
    monkeypatch.setattr(body, "PIECE_BYTES", 8_000)
    from storage.tables.delta import DeltaTable
    from storage.tables.errors import CommitContention

    inner, calls = DeltaTable.append, []

    def append(self, *arguments, **named):
        calls.append(1)
        if len(calls) > 1:
            raise CommitContention("lost every race")
        return inner(self, *arguments, **named)

    monkeypatch.setattr(DeltaTable, "append", append)
    path = write(waves(), tmp_path / "waves.parquet")
    done = carousel("ingest", path, "--table", "s3://lake/halfway", "--entity", "series")
    assert done.code == 2
    assert "rows had landed before; the same command goes on" in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--table s3://"),
        (("--table", "s3://lake/x", "-s", "run=a"), "-c"),
        (("--table", "s3://lake/noted", "--entity", "load"), "'series'"),
        (("--table", "s3://lake/noted", "--time", "temp"), "'time'"),
        (("--table", "s3://lake/noted", "--format", "iceberg"), "delta already"),
    ],
)
def test_what_contradicts_the_table_or_the_settings_is_told(options, says, carousel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(waves(), tmp_path / "waves.parquet")
    if "s3://lake/noted" in options:
        assert carousel("ingest", path, "--table", "s3://lake/noted", "--entity", "series").code == 0
    done = carousel("ingest", path, *options)
    assert (done.code, says in done.err) == (2, True), done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("option", ["--endpoint-url", "--source-endpoint-url", "--catalog"])
@pytest.mark.parametrize("address", ["127.0.0.1:9000", "http://u:hunter2@127.0.0.1:9000"])
def test_an_address_that_cannot_serve_is_told_with_its_option_and_without_its_password(
    option, address, carousel, tmp_path
):
    path = write(waves(), tmp_path / "waves.parquet")
    if option == "--catalog":
        address = "postgresql+psycopg2://u:hunter2@127.0.0.1/catalog"
    done = carousel("ingest", path, "--table", "s3://lake/x", option, address)
    assert (done.code, f"[{option}]" in done.err) == (2, True), done.err
    assert "hunter2" not in done.out + done.err
    assert "internal" not in done.err


REAL = {
    "ett": ("ett/ETTh1.csv", "", 17_420, 1),
    "la-haute-borne": (
        "la-haute-borne/la-haute-borne-data-2014-2015.csv.gz",
        "--entity Wind_turbine_name --duplicates first",
        420_432,
        4,
    ),
    "m4-hourly": ("m4-hourly/Hourly-train.csv", "--wide --every 1h", 353_500, 414),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_become_tables_that_windows_can_be_read_from(name, carousel, root):
    path, options, rows, series = REAL[name]
    if not SHARED.exists():
        pytest.skip(f"no real data at {SHARED}")
    uri = f"s3://lake/real-{name}"
    done = carousel("ingest", SHARED / path, "--table", uri, *shlex.split(options), "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    index = index_snapshot(table_at(root, uri).snapshot(), entity=answer["entity"], time=answer["time"])
    check_overlaps(index)
    assert (answer["added"], len(index.series)) == (rows, series)
