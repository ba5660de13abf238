"""The Prefect API of this machine is killed while a run trains: one message, and nothing is lost."""

import os
import signal
import subprocess
import sys

import pytest

from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.servers import folder_of

from .conftest import CONFIG, waves, write

COMMAND = [sys.executable, "-m", "pipelines.cli"]


@pytest.mark.slow  # `make test-resume`, and so CI: three commands, each of which starts its servers
def test_an_api_that_is_killed_ends_training_with_one_message_and_the_run_goes_on(tmp_path):
    path = tmp_path / "waves.yaml"
    path.write_text(CONFIG)
    carousel = [*COMMAND, "--root", str(tmp_path)]
    rows = write(waves(), tmp_path / "waves.parquet")
    subprocess.run([*carousel, "ingest", rows, "-c", path], check=True, capture_output=True)
    with subprocess.Popen([*carousel, "train", "-c", path], stderr=subprocess.PIPE, text=True) as train:
        assert train.stderr is not None
        said = next(line for line in train.stderr if "plan " in line)
        api = PrefectApi.find(folder_of(PrefectApi, tmp_path))
        assert api is not None
        os.kill(api.pid, signal.SIGKILL)
        said = train.stderr.read()
        assert train.wait() == 2, said
    assert said.count("warning: the Prefect API") == 1, said  # when it happens
    complaints = [line for line in said.splitlines() if not line.startswith("  ")]
    assert len(complaints) == 1, said
    assert complaints[0].startswith(f"carousel: the Prefect API at {api.url} has ended")
    done = subprocess.run(
        [*carousel, "resume", "waves", "-c", path], capture_output=True, text=True, check=True
    )
    assert "waves: 6 steps (budget)" in done.stdout
