"""`carousel status` tells what runs and how runs stand; `carousel stop` ends what runs, and only that."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import run
from pipelines.surroundings import servers
from pipelines.surroundings.at_work import at_work, workers
from pipelines.surroundings.servers import folder_of
from storage.local import LocalServer

from ..conftest import CONFIG, waves, write

COMMAND = [sys.executable, "-m", "pipelines.cli"]
STUBBORN = """
import signal, sys
from pathlib import Path
from pipelines.surroundings.at_work import at_work, training
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else signal.SIG_DFL)
root = Path(sys.argv[1])
with at_work(root), training(root, run="waves", steps=9, attempt="a", log=root / "log"):
    print("at work", flush=True)
    signal.pause()
"""


@pytest.fixture
def idle(tmp_path: Path) -> list[str]:
    return ["--root", str(tmp_path / "root")]


def worker(root: Path, manner: str = "") -> "subprocess.Popen[str]":
    """A process that trains, as far as anybody can tell."""
    arguments = [sys.executable, "-c", STUBBORN, str(root), manner]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_an_unused_root_says_so_and_is_not_made(idle, capsys, tmp_path):
    assert run([*idle, "status"]) == 0
    text = capsys.readouterr().out
    assert [word for word in ("nothing runs", "runs: none yet", str(tmp_path)) if word not in text] == []
    assert run([*idle, "stop"]) == 0
    assert "nothing runs" in capsys.readouterr().out
    assert not (tmp_path / "root").exists()


def test_runs_and_servers_are_told(carousel, trained):
    told = json.loads(carousel("status", "--json", "-c", trained).out)
    (found,) = [it for it in told["runs"]["runs"] if it["run"] == "waves"]
    assert (found["state"], found["step"], found["steps"]) == ("finished", 6, 6)
    assert {it["name"]: it["kept"] for it in told["servers"]} == {"S3 server": True, "Prefect's UI": True}
    assert told["commands"] == []
    assert told["parts"]["logs"]["files"] >= 1
    assert told["parts"]["s3"]["bytes"] > 10_000
    text = carousel("status", "-c", trained).out
    assert [
        word for word in ("waves", "finished", "6/6", "until carousel stop", "s3") if word not in text
    ] == []


def test_a_run_that_was_cut_short_comes_with_the_command_that_goes_on(carousel, root, tmp_path):
    config = tmp_path / "waves.yaml"
    config.write_text(
        CONFIG.replace("run: waves", "run: cut")
        .replace("ranks: 1", "ranks: 2")
        .replace("steps: 6", "steps: 100000")
    )
    rows = write(waves(), tmp_path / "waves.parquet")
    assert carousel("ingest", rows, "-c", config).code == 0
    arguments = [*COMMAND, "--root", str(root), "train", "-c", str(config)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as train:
        while not (seen := [it for it in workers(root) if it.run == "cut" and len(it.ranks()) == 2]):
            assert train.poll() is None
        state = json.loads(carousel("status", "--json", "-c", config).out)
        (command,) = state["commands"]
        assert (command["pid"], command["run"], command["ranks"]) == (train.pid, "cut", seen[0].ranks())
        refused = carousel("clean", "--yes")
        assert refused.code == 2
        assert "carousel stop" in refused.err
        os.kill(train.pid, signal.SIGKILL)
        train.communicate()
    told = carousel("status", "-c", config)
    assert re.search(
        r"^cut +(not begun|cut short) ", told.out, re.MULTILINE
    )  # before its first commit, or after
    assert f"go on with cut: carousel --root {root} resume cut -c {config}\n" in told.out


def test_a_bucket_that_cannot_be_reached_hides_nothing_else(carousel, tmp_path):
    config = tmp_path / "waves.yaml"
    config.write_text(CONFIG + "storage: {endpoint_url: 'http://127.0.0.1:9'}\n")
    told = carousel("status", "-c", config)
    assert told.code == 0
    assert "runs: could not find s3://lake: no credentials for http://127.0.0.1:9" in told.out
    assert "S3 server" in told.out


def test_a_training_is_not_stopped_unasked(idle, capsys, tmp_path):
    with worker(tmp_path / "root") as process:
        assert run([*idle, "stop"]) == 2
        said = capsys.readouterr().err
        assert "waves" in said
        assert "--force" in said
        assert process.poll() is None
        process.kill()


def test_stop_ends_commands_and_servers_and_leaves_their_data(idle, capsys, tmp_path):
    root = tmp_path / "root"
    assert run([*idle, "s3", "start"]) == 0
    with worker(root) as process:
        assert run([*idle, "stop", "--force"]) == 0
        process.wait()
    text = capsys.readouterr().out
    assert f"process {process.pid}" in text
    assert "`carousel resume waves` goes on" in text
    assert "S3 server: it has ended; its data stay" in text
    assert LocalServer.find(folder_of(LocalServer, root)) is None
    assert (root / "s3" / "data").is_dir()


def test_who_does_not_end_is_killed_only_by_force(tmp_path):
    from pipelines.upkeep.halt import halt

    with worker(tmp_path, "deaf") as process:
        (line,) = halt(tmp_path, force=False, patience_s=0.2)
        assert "--force kills it" in line
        assert process.poll() is None
        (line,) = halt(tmp_path, force=True, patience_s=0.2)
        assert "was killed" in line
        process.wait()


def test_stop_ends_nobody_whose_pid_only_stands_in_a_record(tmp_path):
    """A process id of a dead command that a stranger has by now."""
    with at_work(tmp_path):
        (record,) = (tmp_path / "at-work").iterdir()
        values = json.loads(record.read_text())
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as stranger:
        record.write_text(json.dumps({**values, "pid": stranger.pid, "started": "another:1"}))
        assert run(["--root", str(tmp_path), "stop", "--force"]) == 0
        assert stranger.poll() is None
        stranger.kill()


def test_what_a_killed_server_left_is_tidied_up(idle, capsys, tmp_path):
    root = tmp_path / "root"
    with servers.borrow(LocalServer, root) as server:
        os.kill(server.pid, signal.SIGKILL)
        while LocalServer.find(folder_of(LocalServer, root)) is not None:
            pass
        (root / "s3" / "saved").write_text((root / "s3" / "server.json").read_text())
    (root / "s3" / "saved").rename(root / "s3" / "server.json")
    assert run([*idle, "stop"]) == 0
    assert "it was killed" in capsys.readouterr().out
    assert not (root / "s3" / "server.json").exists()
