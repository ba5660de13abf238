"""The command as people use it, in this process: real servers under one root, and small tables."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipelines.cli import run
from pipelines.surroundings import servers
from pipelines.surroundings.prefect_api import PrefectApi
from storage.local import LocalServer

CONFIG = """\
run: waves
table:
  uri: s3://lake/waves
  entity: series
  time: time
  max_gap: 1h
window: {context: 24, horizon: 4}
order: {lanes: 4, pool: 2}
forecast: {target: load, past: [temp], hidden: 8, patch: 6}
training:
  ranks: 1
  steps: 6
  batch_size: 64
  warmup_steps: 2
  checkpoint_every: 3
  validation_batches: 2
  report_every: 1
predictions: {uri: s3://lake/forecasts}
"""
SERIES = 3
HOURS = 200


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root under which an S3 server and a Prefect API run for the whole session.

    Prefect's database takes long to make. So it is this one that was cut short in its first migration, and
    whose server was started among keys: surroundings/test_servers.py looks at what became of both.
    """
    folder = tmp_path_factory.mktemp("root")
    started = []
    half = servers.folder_of(PrefectApi, folder) / "prefect.db"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    for kind in (LocalServer, PrefectApi):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
            started.append(kind.start(servers.folder_of(kind, folder), die_with_parent=True))
        servers.keep(kind, folder)  # commands that borrow it do not end it
    yield folder
    for server in started:
        server.stop()


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def carousel(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run `carousel` under `root` in this process."""

    def call(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = run(["--root", str(root), *map(str, arguments)])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def api(root: Path) -> PrefectApi:
    found = PrefectApi.find(servers.folder_of(PrefectApi, root))
    assert found is not None
    return found


def settled(api: PrefectApi, root: Path) -> Path:
    """`root`, with a copy of that API's database and no server."""
    folder = servers.folder_of(PrefectApi, root)
    folder.mkdir()
    with (
        closing(sqlite3.connect(api.folder / "prefect.db")) as source,
        closing(sqlite3.connect(folder / "prefect.db")) as copy,
    ):
        source.backup(copy)
    (folder / "complete").touch()
    return root


def waves(series: int = SERIES, hours: int = HOURS) -> pa.Table:
    """Hourly waves of some series, sorted, a tenth of the target unknown."""
    random = np.random.default_rng(7)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    hour = np.tile(np.arange(hours), series)
    number = np.repeat(np.arange(series), hours)
    load = np.sin(hour / 12 + number) + 0.1 * random.standard_normal(series * hours)
    return pa.table(
        {
            "series": pa.array([f"s{n}" for n in number]),
            "time": pa.array([start + timedelta(hours=int(h)) for h in hour], pa.timestamp("us", "UTC")),
            "load": pa.array(load.astype(np.float32), mask=random.random(len(load)) < 0.1),
            "temp": pa.array(np.cos(hour / 24).astype(np.float32)),
        }
    )


@pytest.fixture
def checkpoints(carousel, repository, tmp_path, monkeypatch):
    """`carousel checkpoints …` on the repository of the module's own fixture."""
    monkeypatch.chdir(tmp_path)  # no settings file

    def call(*arguments):
        prefix = repository.shelf.place.rstrip("/")
        return carousel("checkpoints", *arguments, "--set", f"storage.repository={prefix}")

    return call


@pytest.fixture(scope="session")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of the run `waves`, which is trained to its end: once, for all tests that only look at it.

    Their files are tested by one process, for that: tests/balance.py.
    """
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "waves.yaml"
    config.write_text(CONFIG)
    rows = write(waves(), folder / "waves.parquet")
    for command in (["ingest", str(rows)], ["train"]):
        assert run(["--root", str(root), "--quiet", *command, "-c", str(config)]) == 0
    return config


@pytest.fixture
def trains_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of one rank are trained in this process; those of more under torchrun, as ever."""
    from lstm.training import launch  # with torch, which few files need

    from ..lstm.training.one_rank import run_it_here

    monkeypatch.setattr(launch, "_torchrun", run_it_here)


def write(rows: pa.Table, path: Path) -> Path:
    parquet.write_table(rows, path)
    return path
