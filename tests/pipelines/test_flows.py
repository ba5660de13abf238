"""A small table's path through the command: ingest, train, resume, evaluate, score, and what Prefect saw."""

import json
import urllib.request
from pathlib import Path

import pyarrow.compute as pc
import pytest

from pipelines.config.load import load
from pipelines.flows import train as flows
from pipelines.surroundings.connect import connect
from storage.errors import UserError
from storage.object_access import client
from storage.objects import Bucket
from storage.tables import open_table

from .conftest import CONFIG, SERIES, waves, write


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "waves.yaml"
    path.write_text(CONFIG)
    return path


def filtered(api, what):
    """All that Prefect knows of a kind; it answers in pages of 200."""
    found = []
    while len(found) % 200 == 0:
        request = urllib.request.Request(
            f"{api.api_url}/{what}/filter",
            data=json.dumps({"offset": len(found)}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            page = json.loads(answer.read())
        if not page:
            break
        found += page
    return found


def test_ingesting_the_same_file_again_adds_nothing(carousel, config, tmp_path):
    path = write(waves(), tmp_path / "waves.parquet")
    table = ["-s", "table.uri=s3://lake/twice", "-c", config]
    first, again = carousel("ingest", path, *table), carousel("ingest", path, *table)
    assert "600 rows added, 0 known already" in first.out
    assert "0 rows added, 600 known already" in again.out


def test_a_trained_run_lists_its_commits(carousel, trained):
    text = carousel("checkpoints", "list", "waves").out
    assert [step for step in (" 0 ", " 3 ", " 6 ") if step not in text] == []


def test_training_a_run_that_exists_is_refused_with_the_remedy(carousel, trained):
    again = carousel("train", "-c", trained)
    assert again.code == 2
    assert "run 'waves' is finished, with 6 steps" in again.err
    assert "--set run=NAME" in again.err


def test_a_finished_run_is_not_trained_again(carousel, trained):
    done = carousel("resume", "waves")
    assert (done.code, "nothing is left to train" in done.out) == (0, True)


def test_a_run_killed_before_its_first_commit_is_resumed(carousel, trained, root, trains_here):
    known = root / "runs" / "waves.json"
    job = {**json.loads(known.read_text()), "run": "unborn"}
    known.with_name("unborn.json").write_text(json.dumps(job))
    done = carousel("resume", "unborn")
    assert done.code == 0, done.err
    assert "unborn" in done.out


def test_resuming_what_never_began_is_refused_with_the_remedy(carousel, trained):
    done = carousel("resume", "never")
    assert (done.code, "carousel train --set run=never" in done.err) == (2, True)


def test_evaluation_names_the_model_and_four_baselines(carousel, trained):
    done = carousel("evaluate", "waves")
    assert done.code == 0, done.err
    words = [
        "model",
        "same hour last week",
        "ridge",
        "zero",
        "median by hour of week",
        "MAE by series",
        "s0",
        "80% interval",
    ]
    assert [word for word in words if word not in done.out] == []
    assert "The model" in done.out


def test_scoring_twice_writes_each_series_next_hours_once(carousel, trained, root):
    first, again = carousel("score", "-c", trained), carousel("score", "-c", trained)
    assert (first.code, again.code) == (0, 0), first.err
    assert "nothing new" in again.out
    connection = connect(load(trained).storage, root)
    snapshot = open_table(connection.lake, "s3://lake/forecasts").snapshot()
    names = ["series", "time", "q10", "q50", "q90", "snapshot_id", "commit_id", "run"]
    assert snapshot.schema.names == names
    (file,) = snapshot.files
    rows = snapshot.read(file, 0, names)
    assert rows.num_rows == SERIES * 4
    assert pc.min(rows["time"]).as_py() > pc.max(waves()["time"]).as_py()
    assert pc.all(pc.less_equal(rows["q10"], rows["q90"])).as_py()


def test_prefect_shows_the_runs_and_their_artifacts(carousel, trained, api):
    assert carousel("evaluate", "waves").code == 0
    assert carousel("score", "-c", trained).code == 0
    completed = {run["name"] for run in filtered(api, "flow_runs") if run["state_type"] == "COMPLETED"}
    assert {"ingest s3://lake/waves", "train waves", "evaluate waves", "score waves"} <= completed
    artifacts = {artifact["key"]: artifact for artifact in filtered(api, "artifacts")}
    assert {"ingest", "training", "evaluation", "predictions"} <= artifacts.keys()


def test_training_warns_of_a_bucket_that_keeps_versions(carousel, config, tmp_path, root, api, monkeypatch):
    access = connect(load(config).storage, root).bucket.access
    Bucket("kept", access).create()
    client(access, retried=False).put_bucket_versioning(
        Bucket="kept", VersioningConfiguration={"Status": "Enabled"}
    )
    ours = ["-s", "storage.bucket=kept", "-s", "run=kept", "-s", "table.uri=s3://kept/waves", "-c", config]
    assert carousel("ingest", write(waves(), tmp_path / "waves.parquet"), *ours).code == 0

    def launched(*arguments, **options):
        raise UserError("no more than that is looked at here")

    monkeypatch.setattr(flows, "launch", launched)
    done = carousel("train", *ours)
    assert "no more than that" in done.err
    warning = "bucket 'kept' keeps old versions: deleting frees nothing"
    assert f"  warning: {warning}" in done.err
    assert done.err.count(warning) == 1
    assert any(warning in log["message"] for log in filtered(api, "logs"))


def test_no_key_reaches_prefect_or_the_logs(carousel, trained, api, root):
    keys = json.loads((root / "s3" / "settings.json").read_text())
    secrets = [keys["access_key"], keys["secret_key"]]
    told = json.dumps([filtered(api, what) for what in ("flow_runs", "artifacts", "logs")])
    logs = "".join(path.read_text() for path in (root / "logs").iterdir())
    assert [secret for secret in secrets if secret in told + logs] == []
