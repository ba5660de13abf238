"""Who works under a root is known while it works, and is forgotten when it is dead, however it died."""

import json
import os
import signal
import subprocess
import sys

from pipelines.surroundings.at_work import FOLDER, at_work, training, workers

WORKER = """
import sys, signal
from pathlib import Path
from pipelines.surroundings.at_work import at_work, training
root = Path(sys.argv[1])
with at_work(root), training(root, run="waves", steps=9, attempt="a", log=root / "log"):
    print("at work", flush=True)
    signal.pause()
"""


def test_nobody_works_under_a_root_that_is_not_there(tmp_path):
    assert workers(tmp_path / "absent") == []


def test_a_command_is_known_while_it_works(tmp_path):
    with at_work(tmp_path):
        (work,) = workers(tmp_path)
        assert (work.pid, work.alive, work.run, work.ranks()) == (os.getpid(), True, None, [])
    assert workers(tmp_path) == []


def test_a_training_is_its_commands_one_entry(tmp_path):
    log = tmp_path / "log"
    with at_work(tmp_path):
        with training(tmp_path, run="waves", steps=9, attempt="a", log=log):
            (work,) = workers(tmp_path)
            assert (work.run, work.steps, work.attempt, work.log) == ("waves", 9, "a", str(log))
        (work,) = workers(tmp_path)
        assert work.run is None


def test_who_was_killed_is_forgotten(tmp_path):
    arguments = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        (work,) = workers(tmp_path)
        assert (work.pid, work.run) == (worker.pid, "waves")
        os.kill(worker.pid, signal.SIGKILL)
    assert workers(tmp_path) == []
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_stranger_with_the_pid_of_a_record_is_not_at_work(tmp_path):
    with at_work(tmp_path):
        (record,) = (tmp_path / FOLDER).iterdir()
        values = json.loads(record.read_text())
        record.write_text(json.dumps({**values, "started": "another boot:1"}))
        assert workers(tmp_path) == []


def test_a_record_that_is_none_is_forgotten(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1-x.json").write_text("{")
    assert workers(tmp_path) == []
