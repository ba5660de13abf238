"""`carousel clean` removes what Carousel made under the root, as much as was asked for, and nothing else."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.cli import run
from pipelines.surroundings import servers
from pipelines.surroundings.at_work import at_work
from storage.local import LocalServer

LOG = "logs/waves-20260102T030405-0123456789ab.log"
OURS = {
    LOG: "logs",
    "runs/waves.json": "runs",
    "reports/waves.html": "runs",
    "demo.yaml": "runs",
    "collections/manifests.db": "runs",
    "prefect/prefect.db": "runs",
    "prefect/storage/one": "runs",
    "s3/data/1.dat": "all",
    "s3/settings.json": "all",
    "spool/0123456789abcdef/flights/0000000000000000100-a1-00c0ffee.save": "all",
}
"""Files as Carousel leaves them, and how far a clean must go to remove them."""
THEIRS = (
    "logs/nginx.log",
    "reports/thesis.html",
    "s3.txt",
    "collections/manifests.csv",
    "spool/of/thread",
    "data/rows.csv",
    "carousel.yaml",
)
LEVELS = ("logs", "runs", "all")


@pytest.fixture
def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root after some work, which is also a folder of somebody's own; and no leftovers but the test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    root = tmp_path / "root"
    for name in (*OURS, *THEIRS, "s3/users.lock", "prefect/users.lock"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)
    return root


def clean(root: Path, *options: str) -> int:
    return run(["--root", str(root), "clean", *options])


@pytest.mark.parametrize("level", LEVELS)
def test_a_clean_goes_as_far_as_it_was_asked_to(level, used):
    assert clean(used, f"--{level}", "--yes") == 0
    reach = LEVELS[: LEVELS.index(level) + 1]
    left = {name for name in OURS if (used / name).exists()}
    assert left == {name for name, needs in OURS.items() if needs not in reach}
    assert [name for name in THEIRS if not (used / name).exists()] == []


def test_without_an_option_only_logs_go(used):
    assert clean(used, "--yes") == 0
    assert [name for name in OURS if not (used / name).exists()] == [LOG]


def test_it_says_how_much_before_it_asks_and_asks_before_it_removes(used, capsys):
    assert clean(used, "--all") == 2  # nobody to ask
    said = capsys.readouterr()
    assert "nobody is there to be asked; --yes" in said.err
    assert re.search(r"s3 +2 +8.2 kB +goes +tables and checkpoints", said.out)
    assert all((used / name).exists() for name in OURS)


def test_what_is_removed_is_counted(used, capsys):
    assert clean(used, "--runs", "--yes") == 0
    assert "removed 7 files, 28.7 kB" in capsys.readouterr().out


def test_an_unused_root_has_nothing_to_remove(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert clean(tmp_path / "absent", "--all", "--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert not (tmp_path / "absent").exists()


def test_links_are_removed_and_never_followed(used, tmp_path):
    treasure = tmp_path / "elsewhere"
    treasure.mkdir()
    (treasure / "rows").write_text("precious")
    (used / "s3" / "data" / "linked").symlink_to(treasure)
    (used / "s3" / "far").symlink_to(treasure)
    assert clean(used, "--all", "--yes") == 0
    assert (treasure / "rows").read_text() == "precious"
    assert not (used / "s3" / "far").is_symlink()


def test_a_servers_folder_that_is_a_link_is_not_touched(used, tmp_path):
    (used / "s3").rename(tmp_path / "moved")
    (used / "s3").symlink_to(tmp_path / "moved")
    assert clean(used, "--all", "--yes") == 0
    assert (tmp_path / "moved" / "data" / "1.dat").exists()


def test_it_refuses_while_a_command_works(used, capsys):
    with at_work(used):
        assert clean(used, "--yes") == 2
    assert "carousel stop" in capsys.readouterr().err
    assert (used / LOG).exists()


def test_it_refuses_while_somebody_borrows_a_server(used, capsys):
    with servers._shared(servers.folder_of(LocalServer, used)):
        assert clean(used, "--yes") == 2
    assert "in use" in capsys.readouterr().err


def test_meeting_folders_of_the_dead_go_and_those_of_the_living_stay(used):
    folder = Path(tempfile.gettempdir())
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    names = {f"carousel-{dead.pid}-x": False, f"carousel-{os.getpid()}-x": True, "carousel-mine": True}
    for name in names:
        (folder / name).mkdir()
    assert clean(used, "--logs", "--yes") == 0
    assert {name: (folder / name).exists() for name in names} == names


def test_levels_exclude_each_other(used, capsys):
    assert clean(used, "--logs", "--all", "--yes") == 2
    assert "exclude each other" in capsys.readouterr().err
    assert (used / LOG).exists()


def test_no_answer_at_a_terminal_is_no(used):
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "pipelines.cli", "--root", str(used), "clean"])
    said = b""
    while b"[y/N]" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"n\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(terminal)
    assert (used / LOG).exists()
