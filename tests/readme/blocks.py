"""The shell blocks of the README: what a reader would type, in the order in which it stands there.

A block is fenced with ```sh. A comment before it, `<!-- stack -->`, says that it needs the compose stack; the
others need nothing but the project. Other fences (```text for what is printed, ```yaml) are not run.
"""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[a-z]+) -->\n)?^```(?P<kind>[a-z]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    kind: str
    """The fence's language: `sh` is run."""
    mark: str | None
    """The comment before it."""
    body: str
    line: int
    """Of its fence, from 1."""


def blocks() -> list[Block]:
    """All fenced blocks of the README."""
    text = README.read_text()
    return [
        Block(it["kind"], it["mark"], it["body"], text.count("\n", 0, it.start("kind")) + 1)
        for it in _FENCE.finditer(text)
    ]


def shell_blocks(mark: str | None) -> list[Block]:
    """Those that are run, with this mark."""
    return [it for it in blocks() if it.kind == "sh" and it.mark == mark]
