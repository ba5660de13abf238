"""`--json`: every answer that a script may want is one JSON document on standard output."""

import json
from pathlib import Path

import pytest

from pipelines.cli import run

from .conftest import CONFIG, waves, write


@pytest.fixture(scope="module")
def config(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a run that is trained."""
    folder = tmp_path_factory.mktemp("json")
    path = folder / "carousel.yaml"
    path.write_text(
        CONFIG.replace("run: waves", "run: scripted").replace("s3://lake/", "s3://lake/scripted/")
    )
    common = ["--root", str(root), "--quiet"]
    rows = write(waves(), folder / "waves.parquet")
    assert run([*common, "ingest", str(rows), "-c", str(path)]) == 0
    assert run([*common, "train", "-c", str(path)]) == 0
    return path


@pytest.mark.parametrize(
    ("command", "holds"),
    [
        ("tables list", "s3://lake/scripted/waves"),
        ("tables show s3://lake/scripted/waves", "columns"),
        ("tables snapshots s3://lake/scripted/waves", "operation"),
        ("checkpoints list", "scripted"),
        ("checkpoints list scripted", "raw_bytes"),
        ("checkpoints show scripted/newest", "tensors"),
        ("evaluate scripted", "baselines"),
        ("score", "skipped"),
        ("score", "unmeasured"),
        ("resume scripted", "budget"),
        ("status", "parts"),
        ("config check", "memory_mib"),
    ],
)
def test_an_answer_is_one_document(command, holds, carousel, config):
    answer = carousel("--quiet", *command.split(), "--json", "-c", config)
    assert answer.code == 0, answer.err
    assert holds in json.dumps(json.loads(answer.out))
    assert answer.err == ""


def test_the_embedded_server_answers_a_script(carousel):
    told = json.loads(carousel("s3", "status", "--json").out)
    assert told["running"] is True
    assert told["endpoint_url"].startswith("http://127.0.0.1:")


def test_a_server_that_does_not_run_is_an_answer_too(tmp_path, capsys):
    assert run(["--root", str(tmp_path), "s3", "status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"running": False}
