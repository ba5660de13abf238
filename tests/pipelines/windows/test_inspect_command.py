"""`carousel windows inspect` on a real table: by its address, by a settings file, and what it refuses."""

import json

import pytest

from pipelines.surroundings.servers import folder_of
from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables import create_table, lake_for

from ..conftest import CONFIG, HOURS, SERIES, waves

URI = "s3://lake/inspected"


@pytest.fixture(scope="module")
def inspected(root):
    """A table of waves in the bucket `lake`, and settings for it."""
    server = LocalServer.find(folder_of(LocalServer, root))
    lake = lake_for(server)
    Bucket("lake", lake.access).create()
    create_table(lake, URI, waves().schema).append(waves(), transaction="waves")


def test_a_plan_is_shown_as_tables_a_picture_and_json(inspected, carousel, tmp_path):
    path = tmp_path / "carousel.yaml"
    path.write_text(CONFIG.replace("s3://lake/waves", URI))
    picture = tmp_path / "plan.svg"
    told = carousel("windows", "inspect", "-c", path, "--picture", picture, "--ranks", "2")
    assert told.code == 0, told.err
    assert f"{URI}, snapshot" in told.out
    assert "windows of 24 + 4 rows" in told.out
    assert f"{SERIES}: {SERIES * HOURS} rows, one every 1 h" in told.out
    assert "sorted by entity and time; 1 row group in 1 file" in told.out
    assert "fits" in told.out
    assert picture.read_text().startswith("<svg")

    answer = json.loads(carousel("windows", "inspect", "-c", path, "--json").out)
    assert answer["columns"] == ["load", "temp"]
    assert answer["splits"]["train"]["windows"] == SERIES * (140 - 27)
    assert answer["reads"]["amplification"] == 1.0


def test_a_grid_is_part_of_the_settings_and_its_mask_an_input(inspected, carousel, root, tmp_path):
    rows = waves().filter([row % 10 != 4 for row in range(waves().num_rows)])
    lake = lake_for(LocalServer.find(folder_of(LocalServer, root)))
    create_table(lake, f"{URI}-in-part", rows.schema).append(rows, transaction="waves")
    path = tmp_path / "carousel.yaml"
    path.write_text(CONFIG.replace("s3://lake/waves", f"{URI}-in-part"))
    said = ["--set", "table.grid=1h", "--set", "table.max_gap=12h", "--set", "forecast.past=[temp, observed]"]
    told = carousel("windows", "inspect", "-c", path, "--json", *said)
    assert told.code == 0, told.err
    answer = json.loads(told.out)
    assert answer["columns"] == ["load", "temp", "observed"]
    assert (answer["rows"], answer["filled"]) == (SERIES * HOURS, SERIES * HOURS - rows.num_rows)
    refused = carousel("windows", "inspect", "-c", path, *said, "--set", "table.grid=7min")
    assert refused.code == 2
    assert "off the grid of 0:07:00" in refused.err


def test_a_table_needs_no_settings_and_none_are_written(inspected, carousel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--table", URI, "--target", "load", "--set", "window.context=48", "--json"]
    told = carousel("windows", "inspect", *arguments)
    assert told.code == 0, told.err
    answer = json.loads(told.out)
    assert (answer["context"], answer["series"]) == (48, SERIES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--table", URI, "--picture", "plan.png"], "name a file that ends in .svg"),
        (["--table", URI, "--picture", "none/plan.svg"], "there is no folder none"),
        (["--target", "load"], "read only with --table"),
        (["--table", URI, "-c", "carousel.yaml"], "leave one out"),
        (["--table", "s3://lake/no-such-table"], "no Delta table"),
        (["--table", URI, "--target", "lod"], "lod"),
        (["--table", URI, "--ranks", "99"], "99 ranks cannot share"),
    ],
)
def test_a_mistake_is_told_in_words(inspected, carousel, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    told = carousel("windows", "inspect", *arguments)
    assert told.code == 2
    assert says in told.err
    assert "Traceback" not in told.err
