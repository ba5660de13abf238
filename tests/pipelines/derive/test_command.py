"""`train --table` and `config init` as people use them, on tables that Carousel did not write itself."""

import io
from pathlib import Path

import pytest

from lstm.training import calibrate
from pipelines.config.load import load
from pipelines.config.storage import StorageConfig
from pipelines.surroundings.connect import connect
from storage.tables import create_table

from ..conftest import waves

TABLE = "s3://lake/derived/ripples"


@pytest.fixture(scope="module")
def table(root) -> str:
    """Three series of 200 hours; nothing but its columns tells what they mean."""
    lake = connect(StorageConfig(), root).lake
    create_table(lake, TABLE, waves().schema).append(waves(), transaction="rows")
    return TABLE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waves.yaml"


def test_a_table_alone_is_enough_to_train_evaluate_and_score(carousel, table, path, trains_here, monkeypatch):
    monkeypatch.setattr(calibrate, "_SECONDS", 0.1)
    options = ("--table", table, "-c", path)
    small = ("--target", "load", "--minutes", "0.05", "-s", "forecast.hidden=8", "-s", "training.ranks=1")
    done = carousel("train", *options, *small)
    assert done.code == 0, done.err
    assert done.out.startswith("run ripples")
    config = load(path)
    assert (config.table.time, config.table.entity) == ("time", "series")
    assert (config.forecast.target, config.forecast.past, config.forecast.hidden) == ("load", ("temp",), 8)
    assert "windows/s on" in path.read_text()
    assert "training.steps" in done.err
    assert "as told (--set" in done.err
    assert carousel("evaluate", "-c", path).code == 0
    scored = carousel("score", "-c", path)
    assert (scored.code, config.predictions.uri) == (0, f"s3://lake/carousel/predictions/{config.run}")
    assert config.predictions.uri in scored.out

    again = carousel("train", *options)
    assert again.code == 2
    assert "as they are" in again.err
    assert f"run '{config.run}' is finished" in again.err
    assert "--run NAME" in again.err
    elsewhere = ("--endpoint-url", "http://127.0.0.1:1", "--minutes", "45")
    moved = carousel("train", *options, *elsewhere)
    assert moved.code == 2
    assert "--endpoint-url (there: the embedded server)" in moved.err
    assert "--minutes (there: " in moved.err
    other = carousel("train", "--table", "s3://lake/derived/other", "-c", path)
    assert (other.code, "another table" in other.err) == (2, True)


def test_config_init_writes_what_train_then_reads(carousel, table, path):
    options = (
        "--table",
        table,
        "--target",
        "temp",
        "--horizon",
        "5",
        "--run",
        "mine",
        "-s",
        "training.steps=4",
    )
    done = carousel("config", "init", path, *options)
    assert done.code == 0, done.err
    assert f"next: carousel train -c {path}" in done.out
    config = load(path)
    assert (config.run, config.window.horizon, config.training.steps) == ("mine", 5, 4)
    assert carousel("config", "check", "-c", path).code == 0
    assert carousel("config", "init", path, *options).code == 2


def test_config_init_without_table_or_terminal_says_what_to_give(carousel, path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    done = carousel("config", "init", path)
    assert done.code == 2
    assert "--table s3://bucket/key" in done.err
    assert "--example" in done.err
    assert not path.exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_config_init_asks_on_a_terminal_and_suggests_answers(carousel, table, path, monkeypatch):
    answers = [table, "", "", "", "load", "6", "0.5"]
    monkeypatch.setattr("sys.stdin", Terminal("".join(f"{answer}\n" for answer in answers)))
    done = carousel("config", "init", path, "-s", "training.steps=4")
    assert done.code == 0, done.err
    asked = done.out + done.err
    for suggested in ("[time]", "[series]", "[temp]"):
        assert suggested in asked
    config = load(path)
    assert (config.table.time, config.table.entity) == ("time", "series")
    assert (config.forecast.target, config.window.horizon) == ("load", 6)


def test_a_table_that_is_not_there_is_told(carousel, path):
    done = carousel("train", "--table", "s3://lake/derived/absent", "-c", path)
    assert done.code == 2
    assert "s3://lake/derived/absent" in done.err
    assert not path.exists()


def test_a_name_that_no_run_can_have_is_told_at_once(carousel, path):
    done = carousel("train", "--table", "s3://lake/x", "--run", "../evil", "-c", path)
    assert (done.code, "--run" in done.err, "letters, digits" in done.err) == (2, True, True)


def test_options_that_only_a_table_needs_are_refused_without_one(carousel):
    done = carousel("train", "--target", "load", "--minutes", "1")
    assert done.code == 2
    assert "--target, --minutes: read only with --table" in done.err
