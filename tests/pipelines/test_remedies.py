"""Messages, help and docs name remedies: every command that one of them names is there."""

import re
from functools import cache
from pathlib import Path

import typer

from pipelines.cli.main import COMMANDS, GROUPS

TREE = Path(__file__).parents[2]


@cache  # hundreds of texts ask
def commands() -> dict[str, set[str]]:
    """Every command, and what stands below it."""
    found: dict[str, set[str]] = {name: set() for _, name, _, _ in COMMANDS}
    for _, group, below in GROUPS:
        found[group] = set(typer.main.get_command(below).commands)  # type: ignore[attr-defined]  # a group
    return found


def sources() -> list[Path]:
    code = [path for room in ("storage", "lstm", "pipelines") for path in (TREE / room).rglob("*.py")]
    return [*code, TREE / "README.md", TREE / "CHANGELOG.md", *(TREE / "docs").glob("checkpoints*.md")]


def unknown(text: str) -> list[str]:
    """Commands that are named in backquotes or below `checkpoints` and are not there."""
    joined = re.sub(r'"\s*\n\s*f?"', "", text)  # a message goes on in the next string
    known = commands()
    alone = re.findall(r"`carousel ([a-z0-9]+)[` ]", joined)
    below = re.findall(r"carousel\s+checkpoints\s+([a-z|]+)(?=[\s`|\"'.,;:)]|$)", joined)
    named = [word for words in below for word in words.split("|")]
    return [it for it in alone if it not in known] + [it for it in named if it not in known["checkpoints"]]


def test_every_command_that_is_named_anywhere_is_there():
    read = {str(path.relative_to(TREE)): path.read_text() for path in sources()}
    assert sum("carousel checkpoints" in text for text in read.values()) > 10
    assert {name: words for name, text in read.items() if (words := unknown(text))} == {}


def test_a_command_that_is_not_there_would_be_found():
    assert unknown('"mend it with `carousel checkpoints "\n    f"amend` first"') == ["amend"]
    assert unknown("`carousel trane` and `carousel checkpoints list`") == ["trane"]
