"""A whole run on a regular grid: what it trains on, is measured by and forecasts from has all hours."""

import json

import pytest

from .conftest import CONFIG, HOURS, SERIES, waves, write

pytestmark = pytest.mark.slow


def test_a_run_on_a_grid_trains_is_measured_and_forecasts(carousel, tmp_path):
    lacking = waves().filter([row % 10 not in (4, 5) for row in range(SERIES * HOURS)])
    path = tmp_path / "carousel.yaml"
    text = CONFIG.replace("waves", "holes").replace("max_gap: 1h", "grid: 1h\n  max_gap: 12h")
    path.write_text(text.replace("past: [temp]", "past: [temp, observed]"))
    assert carousel("ingest", write(lacking, tmp_path / "holes.parquet"), "-c", path).code == 0
    trained = carousel("train", "-c", path, "--set", "training.ranks=2")
    assert trained.code == 0, trained.err
    said = f"{SERIES * HOURS} rows, {SERIES} series, {SERIES} segments"
    assert said in trained.err
    assert "120 of the rows (20.0%) are not in the table" in trained.err
    for command in (["doctor"], ["evaluate"], ["score"], ["report"]):
        done = carousel(*command, "-c", path)
        assert done.code == 0, (command, done.err)
    again = carousel("windows", "inspect", "-c", path, "--json")
    assert json.loads(again.out)["filled"] == 120
