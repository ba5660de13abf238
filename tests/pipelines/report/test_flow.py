"""`carousel report` on runs of every state: what can be had is there, and what is missing says why."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from lstm.training.start import begin
from pipelines.config.load import load
from pipelines.surroundings.connect import connect
from storage.tables import open_table
from tests.pipelines.conftest import HOURS, waves, write
from tests.pipelines.test_flows import filtered


@pytest.fixture
def begun(trained, root):
    """Begin a run without training it: it has its commit of step 0 and nothing else."""

    def make(run: str, *assignments: str):
        settings = load(trained, assignments=[f"run={run}", *assignments])
        connection = connect(settings.storage, root)
        table = open_table(connection.lake, settings.table.uri)
        job = settings.job(table.snapshot().id)
        begin(job, connection.lake, connection.lake, connection.repository(), attempt=run, resume=False)
        return connection

    return make


def made(carousel, root: Path, run: str, *options: str) -> tuple[str, dict]:
    done = carousel("report", run, *options)
    assert done.code == 0, done.err
    connection = connect(load_storage(), root)
    figures = json.loads(connection.bucket.get(f"reports/{run}/report.json").data)
    text = (root / "reports" / f"{run}.html").read_text()
    assert connection.bucket.get(f"reports/{run}/report.html").data.decode() == text
    return text, figures


def load_storage():
    from pipelines.config.storage import default_storage

    return default_storage()


def test_a_trained_runs_report_is_on_disk_in_the_bucket_and_in_prefect(carousel, trained, root, api):
    text, figures = made(carousel, root, "waves")
    assert figures["about"]["state"] == "finished"
    assert figures["curves"]["steps"] == [1, 2, 3, 4, 5, 6]
    assert figures["timing"]["steps"] == [1, 2, 3, 4, 5, 6, 6]
    assert sum(figures["timing"]["saving_s"]) > 0
    assert {each["name"] for each in figures["scores"]["forecasts"]} >= {"model", "zero"}
    assert [each["name"] for each in figures["forecasts"]["series"]][:3]
    pairs = dict(figures["lineage"]["pairs"])
    assert all(html in text for html in (pairs["plan id"], pairs["commit"], pairs["snapshot id"]))
    artifacts = [it["data"] for it in filtered(api, "artifacts") if it["key"] == "report"]
    assert any(str(root / "reports" / "waves.html") in told for told in artifacts)
    assert any("s3://lake/reports/waves/report.html" in told for told in artifacts)


def test_commits_share_what_stays_the_same_in_all_of_them(carousel, trained, root):
    _, figures = made(carousel, root, "waves")
    first, *later = figures["checkpoints"]["commits"]
    assert first["reused_bytes"] == 0
    assert all(0 < commit["reused_bytes"] < commit["raw_bytes"] for commit in later)


def test_where_the_bucket_has_a_web_page_the_artifact_links_to_the_report_there(
    carousel, trained, root, api, monkeypatch
):
    monkeypatch.setenv("CAROUSEL_OBJECT_BROWSER_URL", "http://127.0.0.1:9001/browser/")
    made(carousel, root, "waves")
    artifacts = [it["data"] for it in filtered(api, "artifacts") if it["key"] == "report"]
    assert any("(http://127.0.0.1:9001/browser/lake/reports%2Fwaves%2F)" in told for told in artifacts)


def test_evaluating_makes_the_report_too_and_says_where(carousel, trained, root):
    page = root / "reports" / "waves.html"
    page.unlink(missing_ok=True)
    done = carousel("evaluate", "waves")
    assert done.code == 0, done.err
    assert "waves.html" in done.out
    assert page.exists()


def test_another_commit_and_another_file_can_be_asked_for(carousel, trained, tmp_path):
    path = tmp_path / "deep" / "first page.html"
    done = carousel("report", "waves", "--commit", "newest", "--out", path, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["path"] == str(path)
    assert "the commit that was asked for, newest" in path.read_text()


def test_a_file_that_cannot_be_written_is_told_with_the_remedy(carousel, trained, tmp_path):
    (tmp_path / "file").write_text("")
    done = carousel("report", "waves", "--out", tmp_path / "file" / "page.html")
    assert done.code == 2
    assert "--out" in done.err


def test_a_run_that_is_not_there_is_the_users_mistake(carousel, trained):
    done = carousel("report", "never")
    assert (done.code, "never" in done.err) == (2, True)


def test_a_run_that_was_stopped_says_where_it_stands(carousel, begun, root):
    begun("stopped")
    text, figures = made(carousel, root, "stopped")
    assert figures["about"]["state"] == "unfinished"
    assert "stands at step 0 of 6" in text
    assert "No commit has been validated yet" in text
    assert figures["scores"]["windows"] > 0
    assert "events of this training are not in the bucket" in figures["timing"]["reason"]


def test_without_test_windows_the_forecasts_are_of_others_and_nothing_is_compared(carousel, begun, root):
    begun("untested", "split.test=0")
    text, figures = made(carousel, root, "untested")
    assert "test" in figures["scores"]["reason"]
    assert "these are validation windows" in text
    assert len(figures["forecasts"]["series"]) == 3


def test_a_table_that_is_gone_leaves_what_the_run_itself_holds(carousel, begun, root, tmp_path, trained):
    assert (
        carousel(
            "ingest", write(waves(), tmp_path / "w.parquet"), "-c", trained, "-s", "table.uri=s3://lake/gone"
        ).code
        == 0
    )
    connection = begun("orphan", "table.uri=s3://lake/gone")
    for found in connection.bucket.list("gone/"):
        connection.bucket.delete(found.key)
    text, figures = made(carousel, root, "orphan")
    for part in ("forecasts", "scores"):
        assert "s3://lake/gone" in figures[part]["reason"]
    assert f"{3 * HOURS}" in text.replace(",", "")
    assert figures["checkpoints"]["total_commits"] == 1


def test_one_series_without_an_entity_is_all_rows(carousel, begun, root, tmp_path, trained):
    one = waves(1).drop_columns(["series"])
    there = ["-s", "table.uri=s3://lake/one", "-s", "table.entity=null"]
    done = carousel("ingest", write(one, tmp_path / "one.parquet"), "-c", trained, *there)
    assert done.code == 0, done.err
    begun("one", "table.uri=s3://lake/one", "table.entity=null")
    _, figures = made(carousel, root, "one")
    assert [each["name"] for each in figures["forecasts"]["series"]] == ["all rows"]
    assert [each["name"] for each in figures["scores"]["series"]] == ["all rows"]


def test_hostile_entities_and_columns_reach_the_page_as_text(carousel, begun, root, tmp_path, trained):
    names = ["<script>alert(1)</script>", "../../x", "</script>"]
    table = waves(3)
    renamed = pa.array([names[int(name[1:])] for name in table["series"].to_pylist()])
    order = pa.compute.sort_indices(
        pa.table({"s": renamed, "t": table["time"]}), [("s", "ascending"), ("t", "ascending")]
    )
    table = (
        table.set_column(0, "series", renamed).take(order).rename_columns(["series", "time", "load", "temp"])
    )
    there = "table.uri=s3://lake/hostile"
    done = carousel("ingest", write(table, tmp_path / "hostile.parquet"), "-c", trained, "-s", there)
    assert done.code == 0, done.err
    begun("hostile", there)
    text, figures = made(carousel, root, "hostile")
    assert {each["name"] for each in figures["forecasts"]["series"]} == set(names)
    assert len(re.findall(r"<script", text)) == 3
    assert "<script>alert" not in text


def test_every_file_of_the_page_is_part_of_the_package():
    import tomllib

    here = Path(__file__).parents[3]
    told = tomllib.loads((here / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = here / "pipelines" / "report"
    found = {path for pattern in told["pipelines.report"] for path in package.glob(pattern)}
    assert found == {path for path in package.rglob("*") if path.suffix in (".html", ".css", ".js")}
