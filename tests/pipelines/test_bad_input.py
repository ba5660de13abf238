"""A user's mistake is one message and exit code 2, before any work is lost: what, the numbers, the remedy.

Files are in `sources/test_bad_files.py`, tables that are derived from in `derive/test_bad_tables.py`; disks,
ports and buckets in `test_bad_surroundings.py`; no Docker in `tests/stack/test_docker_absent.py`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.cli.main import run
from pipelines.config.storage import StorageConfig
from pipelines.surroundings.connect import connect
from storage import object_access
from storage.tables import create_table

from ..conftest import free_ports
from .conftest import CONFIG, Answer, waves, write


def without(column: str) -> pa.Table:
    return waves().drop_columns([column])


def as_text(column: str) -> pa.Table:
    rows = waves()
    return rows.set_column(rows.schema.get_field_index(column), column, rows[column].cast(pa.string()))


def doubled() -> pa.Table:
    rows = waves()
    return pa.concat_tables([rows.slice(0, 50), rows.slice(49, 1), rows.slice(50)])


def shuffled() -> pa.Table:
    rows = waves()
    return rows.take(pc.sort_indices(rows["load"]))


def key_missing() -> pa.Table:
    rows = waves()
    known = pc.not_equal(rows["load"], rows["load"][3])
    return rows.set_column(1, "time", pc.if_else(pc.fill_null(known, True), rows["time"], None))


def nanoseconds() -> pa.Table:
    """Nanoseconds that somebody took for microseconds: the year is 55,970."""
    rows = waves()
    times = pc.multiply(rows["time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), 1000)
    return rows.set_column(
        rows.schema.get_field_index("time"), "time", times.cast(pa.timestamp("us", tz="UTC"))
    )


@dataclass(frozen=True)
class Mistake:
    """Rows of a table that cannot be trained on, or settings that ask for what is not there."""

    says: tuple[str, ...]
    rows: Callable[[], pa.Table] | None = waves
    settings: tuple[str, ...] = ()


MISTAKES = {
    "missing-target": Mistake(("load", "temp"), lambda: without("load")),
    "missing-feature": Mistake(("humidity", "temp"), settings=("forecast.past=[humidity]",)),
    "missing-time": Mistake(("'time'", "load"), lambda: without("time")),
    "missing-entity": Mistake(("series", "load"), lambda: without("series")),
    "feature-of-wrong-type": Mistake(("temp", "string"), lambda: as_text("temp")),
    "time-of-wrong-type": Mistake(("time", "string"), lambda: as_text("time")),
    "times-beyond-the-calendar": Mistake(
        ("'time'", "000000000", "the years 2 to 9998"), nanoseconds, ("table.max_gap=null",)
    ),
    "null-time": Mistake(("time", "null"), key_missing),
    "duplicate-row": Mistake(("s0", "2024-01-03", "same"), doubled),
    "too-few-rows": Mistake(("20 rows", "28", "context 24 + horizon 4"), lambda: waves(hours=20)),
    "empty-split": Mistake(("validation", "0"), lambda: waves(hours=60), ("split.validation=0.02",)),
    "nothing-to-validate-on": Mistake(
        ("split.validation must be > 0", "0.05"), settings=("split.validation=0",)
    ),
    "no-such-table": Mistake(("s3://lake/absent",), None, ("table.uri=s3://lake/absent",)),
    "no-such-snapshot": Mistake(("999",), settings=("table.snapshot=999",)),
    "patch-does-not-divide": Mistake(("24", "7"), settings=("forecast.patch=7",)),
    "config-typo": Mistake(("training.stepz", "did you mean steps?"), settings=("training.stepz=3",)),
    "no-bucket-in-uri": Mistake(("lake/waves", "s3://bucket/key"), None, ("table.uri=lake/waves",)),
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "carousel.yaml"
    path.write_text(CONFIG)
    return path


def refused(answer, *says: str) -> None:
    """One message, of one or a few lines, and the exit code of a user's mistake."""
    assert answer.code == 2, answer.err
    message = answer.err[answer.err.index("carousel: ") :]
    assert [word for word in says if word not in message] == [], message
    assert "Traceback" not in answer.err + answer.out
    assert message.count("\n") <= 3, message


@pytest.mark.parametrize("name", MISTAKES)
def test_a_table_or_setting_that_cannot_serve_is_refused_before_ranks_start(name, carousel, config, root):
    mistake = MISTAKES[name]
    options = ["-c", config, "-s", f"run={name}", "-s", f"table.uri=s3://lake/{name}"]
    if mistake.rows is not None:
        rows = mistake.rows()
        lake = connect(StorageConfig(), root).lake
        table = create_table(lake, f"s3://lake/{name}", rows.schema, row_group_rows=150)
        table.append(rows, transaction="rows")
    for setting in mistake.settings:
        options += ["-s", setting]
    refused(carousel("train", *options), *mistake.says)
    assert not list((root / "logs").glob(f"{name}-*")), "ranks were started"


def test_an_empty_table_is_refused(carousel, config, root):
    connection = connect(StorageConfig(), root)
    create_table(connection.lake, "s3://lake/empty", waves().schema)
    refused(carousel("train", "-c", config, "-s", "run=empty", "-s", "table.uri=s3://lake/empty"), "no rows")


def test_a_file_that_does_not_fit_the_table_is_refused(carousel, config, tmp_path):
    uri = ["-c", config, "-s", "table.uri=s3://lake/fits"]
    assert carousel("ingest", write(waves(), tmp_path / "a.parquet"), *uri).code == 0
    refused(carousel("ingest", write(without("temp"), tmp_path / "b.parquet"), *uri), "temp")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.parquet", None, "no such file"),
        ("broken.parquet", b"no parquet", "cannot be read as Parquet"),
        ("rows.xlsx", b"", "only .csv, .tsv, .txt"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(name, content, says, carousel, config, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    refused(carousel("ingest", path, "-c", config), says, name)


@pytest.fixture
def elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Settings that reach the embedded server as if it were another's, with keys from the environment."""
    settings = json.loads((root / "s3" / "settings.json").read_text())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings["secret_key"])

    def options(*, port: int | None = None, bucket: str = "lake") -> list[str]:
        url = f"http://127.0.0.1:{port or settings['ports']['s3.port']}"
        return ["-s", f"storage.endpoint_url={url}", "-s", f"storage.bucket={bucket}"]

    connect(StorageConfig(), root)  # makes the bucket
    return options


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong-and-secret"}, "the secret key is wrong"),
        ({"AWS_ACCESS_KEY_ID": "unknown"}, "access key"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_wrong_credentials_are_told(keys, says, carousel, config, elsewhere, monkeypatch):
    options = elsewhere()
    with monkeypatch.context() as patch:
        for name, value in keys.items():
            patch.delenv(name) if value is None else patch.setenv(name, value)
        object_access.renew()  # as a process that begins with these keys
        done = carousel("checkpoints", "list", "-c", config, *options)
    object_access.renew()
    refused(done, says, "lake")
    assert "wrong-and-secret" not in done.err


def test_a_missing_bucket_is_told(carousel, config, elsewhere):
    refused(carousel("train", "-c", config, *elsewhere(bucket="no-such-bucket")), "no-such-bucket")


def test_an_endpoint_that_is_down_is_told(carousel, config, elsewhere):
    (port,) = free_ports(1)
    refused(carousel("train", "-c", config, *elsewhere(port=port)), f"127.0.0.1:{port}")


def test_a_repository_of_another_version_is_refused(carousel, config, root):
    connection = connect(StorageConfig(), root)
    connection.repository()
    written = json.loads(connection.bucket.get("checkpoints/repository.json").data)
    other = json.dumps({**written, "format": 99}, separators=(",", ":"), sort_keys=True).encode()
    connection.bucket.put("future/repository.json", other)
    options = ["-s", "storage.repository=future"]
    refused(carousel("checkpoints", "list", "-c", config, *options), "99", "future")
    refused(carousel("train", "-c", config, *options), "99", "future")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("checkpoints", "list", "no-such-run"), "no-such-run"),
        (("checkpoints", "show", "no-such-run"), "RUN/COMMIT"),
        (("checkpoints", "show", "no-such-run/1"), "no-such-run"),
        (("resume", "no-such-run"), "no-such-run"),
        (("evaluate", "no-such-run"), "no-such-run"),
        (("tables", "show", "s3://lake/nothing-here"), "s3://lake/nothing-here"),
        (("tables", "show", "nothing here"), "nothing here"),
    ],
)
def test_asking_for_what_is_not_there_is_told(arguments, says, carousel, root):
    connect(StorageConfig(), root).repository()
    refused(carousel(*arguments), says)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--root", "/proc/nowhere", "tables", "list"),
        ("config", "init", "--example", "/proc/nowhere/carousel.yaml"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told(arguments, capsys):
    code = run(arguments)
    refused(Answer(code, *capsys.readouterr()), "/proc/nowhere")
