"""A machine, bucket or server that is not as it should be: one message, its remedy, and nothing is lost."""

import errno
import itertools
import json
import lzma
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cli import run
from pipelines.config.load import load
from pipelines.config.storage import StorageConfig
from pipelines.doctor import Case, Outcome, bucket
from pipelines.surroundings import servers
from pipelines.surroundings.at_work import FOLDER
from pipelines.surroundings.connect import connect
from pipelines.surroundings.room import NEEDED, DiskFull, room_of
from pipelines.surroundings.servers import folder_of
from pipelines.surroundings.session import connected
from storage.local import LocalServer, settled_address
from storage.objects import Access, AccessDenied, Bucket
from storage.tables import create_table, open_table

from ..conftest import MINIO, free_ports, fresh_bucket
from .conftest import CONFIG, Answer, waves

MC = MINIO.with_name("mc.xz")


def refused(answer: Answer, *says: str) -> None:
    """One message, and the exit code of a mistake that the user can mend."""
    assert answer.code == 2, answer.err
    assert [word for word in says if word not in answer.err] == [], answer.err
    assert "Traceback" not in answer.err + answer.out
    assert answer.err.count("carousel: ") == 1, answer.err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "carousel.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    """Run `carousel` under a root of the test's own."""

    def call(*arguments: str | Path, root: Path = tmp_path / "root") -> Answer:
        capfd.readouterr()
        code = run(["--root", str(root), *map(str, arguments)])
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def reader(minio: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name a bucket which the keys in the environment may only read."""
    if not MC.exists():
        pytest.skip(f"no MinIO client at {MC}")
    program = tmp_path / "mc"
    with lzma.open(MC) as packed, program.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    program.chmod(0o700)
    assert minio.endpoint_url and minio.access_key and minio.secret_key  # noqa: PT018 - for mypy, at once
    name = fresh_bucket(minio).name
    rights = tmp_path / "rights.json"
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}
    rights.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    for arguments in (
        ("alias", "set", "it", minio.endpoint_url, minio.access_key, minio.secret_key),
        ("admin", "user", "add", "it", "reader", "may-only-read"),
        ("admin", "policy", "create", "it", "reading", str(rights)),
        ("admin", "policy", "attach", "it", "reading", "--user", "reader"),
    ):
        subprocess.run(
            [program, "--config-dir", tmp_path / "mc.d", *arguments], check=True, capture_output=True
        )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "may-only-read")
    return ["-s", f"storage.endpoint_url={minio.endpoint_url}", "-s", f"storage.bucket={name}"]


def test_a_bucket_that_may_not_be_written_is_told(reader, config, tmp_path):
    storage = load(config, assignments=reader[1::2]).storage
    with pytest.raises(AccessDenied, match=r"do not allow it; .* answers 403") as refusal:
        connect(storage, tmp_path).repository()  # what `train` does before anything else
    assert "may-only-read" not in str(refusal.value)
    found = {it.name: it for it in bucket.check(Case(tmp_path, config, reader[1::2], optional=False))}
    assert (found["read"].outcome, found["write"].outcome) == (Outcome.ok, Outcome.problem)
    assert "use others" in (found["write"].remedy or "")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("only root may make a small disk here (mount -t tmpfs)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> None:
    """Write until nothing more fits."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        for block in itertools.repeat(bytes(2**16)):
            file.write(block)
    assert room_of(disk).free < 2**16


def write_on_a_full_disk(root: Path, disk: Path) -> None:
    """What a command does that meets the end of the disk in the middle of its work."""
    with connected(StorageConfig(), root) as connection:
        fill(disk)
        hasty = replace(connection.bucket.access, patience_s=0)
        Bucket(connection.bucket.name, hasty).put("more", bytes(2**22))


def test_a_full_disk_is_told_and_what_was_committed_is_there_afterwards(small_disk, command):
    root = small_disk / "root"
    rows = waves()
    with servers.borrow(LocalServer, root):
        lake = connect(StorageConfig(), root).lake
        create_table(lake, "s3://lake/kept", rows.schema).append(rows, transaction="rows")
        with pytest.raises(DiskFull, match="so this failed"):
            write_on_a_full_disk(root, small_disk)
        refused(command("tables", "list", root=root), "is full", f"{NEEDED / 1e6:.0f} MB", "--root")
        (small_disk / "filler").unlink()
        assert command("tables", "list", root=root).code == 0
        snapshot = open_table(lake, "s3://lake/kept").snapshot()
        assert sum(file.rows for file in snapshot.files) == rows.num_rows


def test_a_disk_that_becomes_full_in_our_own_hands_is_no_internal_error(command, monkeypatch):
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    monkeypatch.setattr("storage.local.LocalServer.find", full)
    refused(command("s3", "status"), "no room for /some/file", "No space left", "--root")


def test_a_taken_port_moves_the_server_and_is_told(command, tmp_path):
    root = tmp_path / "root"
    assert command("tables", "list").code == 0
    before = settled_address(folder_of(LocalServer, root))
    assert before is not None
    with socket.create_server(("127.0.0.1", int(before.rpartition(":")[2]))):
        said = command("tables", "list")
    after = settled_address(folder_of(LocalServer, root))
    assert (said.code, after != before) == (0, True)
    assert f"taken by another program; now it is {after}" in said.err


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:%d/api", "does not answer (Connection refused)"),
        ("127.0.0.1:%d", "no address"),
    ],
)
def test_a_prefect_api_that_does_not_answer_is_told_at_once(url, says, command, config, monkeypatch):
    address = url % free_ports(1)[0]
    monkeypatch.setenv("PREFECT_API_URL", address)
    refused(command("train", "-c", config), address, says, "unset PREFECT_API_URL")


@pytest.mark.parametrize("arguments", [("s3", "start"), ("tables", "list"), ("demo",)])
def test_a_root_that_is_a_file_is_told(arguments, command, tmp_path):
    (tmp_path / "file").touch()
    refused(command(*arguments, root=tmp_path / "file"), "is a file", "--root")


def test_what_the_dead_left_behind_holds_nobody_up(command, tmp_path):
    """Lock files outlive their holders, whose locks do not; so do records of processes."""
    root = tmp_path / "root"
    for name in ("demo.lock", "s3/users.lock", "s3/server.lock", "prefect/users.lock", f"{FOLDER}/1-a.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    record = {
        "pid": os.getpid(),
        "started": "another boot:1",
        "what": "x",
        "since": "2026-01-01",
        "details": {},
    }
    (root / "s3" / "server.json").write_text(json.dumps(record))
    assert command("tables", "list").code == 0
    assert command("clean", "--all", "--yes").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("checkpoints", "list", "tids"),
        ("checkpoints", "show", "tids/best"),
        ("evaluate", "tids"),
        ("resume", "tids"),
    ],
)
def test_a_run_that_is_not_there_comes_with_those_that_are(arguments, carousel, root):
    from storage.checkpoints import RunWriter

    repository = connect(StorageConfig(), root).repository()
    for name in {"tides", "tides-2"} - set(repository.runs()):
        RunWriter.create(repository, name, "attempt")
    refused(carousel(*arguments), "tids", "did you mean tides or tides-2?")
