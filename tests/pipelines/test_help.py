"""Help reads well at every level and width; completion answers at once; the version is told."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.rich_utils

from pipelines.cli import main as _entry
from pipelines.cli import run
from pipelines.cli.main import COMMANDS, GROUPS, app

COMMAND = [sys.executable, "-m", "pipelines.cli"]


def leaves() -> list[str]:
    """Every command line that does something, as `tables show`."""
    top = [name for _, name, _, _ in COMMANDS]
    below = [
        f"{group} {name}"
        for _, group, commands in GROUPS
        for name in typer.main.get_command(commands).commands  # type: ignore[attr-defined]  # it is a group
    ]
    return [*top, *below]


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run([*command.split(), "--help"]) == 0
    return capsys.readouterr().out


def set_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Of the terminal. Typer reads its own variable only once, when it first shows help."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(typer.rich_utils, "MAX_WIDTH", width)


def test_commands_stand_in_groups_in_the_order_of_a_first_hour(capsys):
    text = help_of("", capsys)
    found = [text.index(f"─ {panel} ─") for panel in dict.fromkeys(panel for panel, _, _, _ in COMMANDS)]
    assert found == sorted(found)


@pytest.mark.parametrize("command", leaves())
@pytest.mark.parametrize("width", [80, 120])
def test_every_command_explains_itself_within_the_terminal(command, width, capsys, monkeypatch):
    set_width(monkeypatch, width)
    text = help_of(command, capsys)
    assert max(map(len, text.splitlines())) <= width
    assert f"Usage: carousel {command}" in text
    assert "<bool>" not in text  # a flag takes no value
    assert "…" not in text  # nothing is cut off


@pytest.mark.parametrize("command", leaves())
def test_every_command_has_an_example_that_it_understands(command, capsys, monkeypatch):
    set_width(monkeypatch, 200)
    (example,) = re.findall(r"Example: carousel (.+?)\s*$", help_of(command, capsys), re.MULTILINE)
    first = shlex.split(re.split(r" \|\| | > ", example)[0])
    assert " ".join(first).startswith(command)
    # understood: what is wrong with it, if anything, is found after its options have been
    node = typer.main.get_command(app)
    for word in command.split():
        node = node.commands[word]  # type: ignore[attr-defined]  # a group, as it has names below it
    node.make_context(command, first[len(command.split()) :])


def test_the_terminal_wraps_paragraphs_not_the_source(capsys, monkeypatch):
    set_width(monkeypatch, 200)
    assert "by series and time; what a file's text means is found out, and" in help_of("ingest", capsys)


def test_help_is_plain_text_where_no_terminal_is():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_the_version_is_told(capsys):
    assert run(["--version"]) == 0
    assert re.fullmatch(r"carousel \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The `carousel` script, as an installation would make it."""
    path = tmp_path / "carousel"
    path.write_text(f"#!{sys.executable}\nfrom pipelines.cli import main\nmain()\n")
    path.chmod(0o700)
    return path


def complete(script: Path, line: str, root: Path) -> tuple[list[str], set[str]]:
    """What bash is offered for the last word of `line`, and the packages that were imported for it."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(_entry.__code__.co_filename).parents[2]),
        "CAROUSEL_ROOT": str(root),
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_CAROUSEL_COMPLETE": "complete_bash",
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    return done.stdout.split(), imported


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("carousel st", ["status", "stop"]),
        ("carousel tables ", ["list", "show", "snapshots", "cluster"]),
        ("carousel clean --a", ["--all"]),
        ("carousel evaluate wa", ["waves", "waves-2"]),
        ("carousel checkpoints list o", ["other"]),
        ("carousel resume wa", ["waves", "waves-2"]),
    ],
)
def test_bash_is_offered_commands_options_and_runs(line, offered, script, tmp_path):
    (tmp_path / "runs").mkdir()
    for run_name in ("waves", "waves-2", "other"):
        (tmp_path / "runs" / f"{run_name}.json").touch()
    found, imported = complete(script, line, tmp_path)
    assert found == offered
    assert "typer" in imported
    assert not imported & {"torch", "numpy", "pyarrow", "boto3", "prefect", "deltalake", "pyiceberg"}, "slow"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_can_be_installed(shell, script, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(_entry.__code__.co_filename).parents[2]),
        "HOME": str(home),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    subprocess.run([script, "--install-completion", shell], env=environment, check=True, capture_output=True)
    written = "".join(path.read_text() for path in home.rglob("*") if path.is_file())
    assert f"_CAROUSEL_COMPLETE=complete_{shell}" in written
