"""The `carousel` command: quick help, one message per mistake, exit codes that scripts can rely on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import run
from pipelines.surroundings.at_work import training
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.servers import folder_of

from .conftest import CONFIG, settled, waves, write

COMMAND = [sys.executable, "-m", "pipelines.cli"]
COMMANDS = [
    "demo",
    "ingest",
    "train",
    "resume",
    "evaluate",
    "score",
    "ui",
    "s3",
    "tables",
    "checkpoints",
    "config",
]


def test_help_names_every_command(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in text] == []


@pytest.mark.parametrize("command", [*COMMANDS, "s3 start", "tables show", "checkpoints show", "config init"])
def test_every_command_explains_itself(command, capsys):
    assert run([*command.split(), "--help"]) == 0
    assert "Usage: carousel" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from pipelines.cli import run; run(['--help']);"
        "heavy = {'torch', 'prefect', 'pyarrow', 'boto3', 'pydantic', 'numpy'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["trian"], ["train", "--no-such-option"], ["resume"], ["s3", "begin"]])
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_users_mistake_is_one_message_and_exit_code_2(capsys, tmp_path):
    assert run(["train", "-c", str(tmp_path / "absent.yaml")]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"carousel: no such file: {tmp_path}/absent.yaml; `carousel config init`")
    assert text.count("\n") == 1


def test_our_mistake_is_exit_code_1_and_its_traceback_is_kept(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("pipelines.config.template.schema", lambda: {}["broken"])
    assert run(["config", "schema"]) == 1
    text = capsys.readouterr().err
    assert "internal error: KeyError: 'broken'" in text
    assert "Traceback" not in text
    (kept,) = re.findall(r"the traceback is in (\S+)", text)
    assert "KeyError: 'broken'" in Path(kept).read_text()
    assert Path(kept).stat().st_mode & 0o777 == 0o600


def test_debug_prints_the_traceback(capsys, monkeypatch):
    monkeypatch.setattr("pipelines.config.template.schema", lambda: {}["broken"])
    assert run(["--debug", "config", "schema"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_config_init_writes_a_file_that_check_accepts(capsys, tmp_path):
    path = str(tmp_path / "carousel.yaml")
    assert run(["config", "init", "--example", path]) == 0
    assert run(["config", "check", "-c", path, "-s", "training.steps=7"]) == 0
    assert run(["config", "init", "--example", path]) == 2
    assert "--force" in capsys.readouterr().err


def test_the_embedded_server_starts_answers_and_stops(capsys, tmp_path):
    root = ["--root", str(tmp_path)]
    assert run([*root, "s3", "status"]) == 1
    assert run([*root, "s3", "start"]) == 0
    try:
        assert run([*root, "s3", "status"]) == 0
        assert run([*root, "tables", "list"]) == 0
        assert run([*root, "s3", "status"]) == 0  # started by hand: no command ends it
    finally:
        assert run([*root, "s3", "stop"]) == 0
    assert run([*root, "s3", "status"]) == 1
    text = capsys.readouterr().out
    assert "no tables in s3://lake yet" in text


def test_a_command_that_is_stopped_ends_the_server_it_started_which_keeps_its_address(api, tmp_path):
    lasting, environment = settled(api, tmp_path), {**os.environ, "PYTHONUNBUFFERED": "1"}
    told = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(
            [*COMMAND, "--root", str(lasting), "ui"], stdout=subprocess.PIPE, text=True, env=environment
        ) as ui:
            assert ui.stdout is not None
            told.append(ui.stdout.readline())
            assert "Prefect's UI: http://127.0.0.1:" in told[-1]
            ui.send_signal(number)
            assert ui.wait() == 128 + number
        assert PrefectApi.find(folder_of(PrefectApi, lasting)) is None
    assert told[0] == told[1], "the server that was started next has the address of the first"


def test_a_second_signal_leaves_at_once():
    code = (
        "import os, signal, sys; from pipelines.cli import main as module\n"
        "def stuck(*arguments):\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally: print('ending', flush=True); signal.pause()\n"
        "module.__globals__['run'] = stuck; module()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ending\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT


def test_a_run_that_somebody_trains_now_is_not_begun_again(carousel, root, tmp_path):
    path = tmp_path / "waves.yaml"
    path.write_text(CONFIG.replace("run: waves", "run: busy"))
    with training(root, run="busy", steps=9, attempt="a", log=tmp_path / "log"):
        second = carousel("train", "-c", path)
    assert second.code == 2
    assert f"process {os.getpid()} trains run 'busy' now (`carousel status`)" in second.err


def test_a_training_that_is_stopped_says_where_it_stands(carousel, tmp_path, monkeypatch):
    from pipelines.flows import train as flows

    path, whole = tmp_path / "waves.yaml", flows.launch
    path.write_text(CONFIG.replace("waves", "halted"))
    assert carousel("ingest", write(waves(), tmp_path / "rows.parquet"), "-c", path).code == 0

    durable: list[int] = []

    def stopped(*arguments, on_event, **options):
        def until_the_first_commit(event) -> None:
            on_event(event)
            if event["event"] == "checkpoint":
                durable.append(event["step"])
                if len(durable) == 1:
                    raise KeyboardInterrupt

        return whole(*arguments, on_event=until_the_first_commit, **options)

    monkeypatch.setattr(flows, "launch", stopped)
    done = carousel("train", "-c", path)
    assert (done.code, done.out) == (130, "")
    told = f"stopped; the newest commit is step {durable[-1]} of 6: `carousel resume halted` goes on\n"
    assert told in done.err


@pytest.mark.parametrize("command", ["resume", "evaluate"])
def test_a_setting_that_nobody_would_read_is_refused(command, capsys):
    assert run([command, "waves", "-s", "training.steps=9"]) == 2
    assert (
        "--set training.steps has no effect here: this command reads only `storage`"
        in capsys.readouterr().err
    )
