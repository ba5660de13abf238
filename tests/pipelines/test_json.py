"""`--json`: every answer that a script may want is one JSON document on standard output."""

import json

import pytest

from pipelines.cli import run


@pytest.mark.parametrize(
    ("command", "holds"),
    [
        ("tables list", "s3://lake/waves"),
        ("tables show s3://lake/waves", "columns"),
        ("tables snapshots s3://lake/waves", "operation"),
        ("checkpoints list", "waves"),
        ("checkpoints list waves", "raw_bytes"),
        ("checkpoints show waves/newest", "tensors"),
        ("evaluate waves", "baselines"),
        ("score", "skipped"),
        ("score", "unmeasured"),
        ("resume waves", "budget"),
        ("status", "parts"),
        ("config check", "memory_mib"),
    ],
)
def test_an_answer_is_one_document(command, holds, carousel, trained):
    answer = carousel("--quiet", *command.split(), "--json", "-c", trained)
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
