"""Names that others chose (entities, columns, runs), made harmless and short for where they are shown."""

import re
import unicodedata

from blake3 import blake3

WHOLE = "all rows"
"""What the one series of a table without an entity column is called."""

_LONGEST = 80
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Control characters, those that turn the direction of others around, and halves of characters."""


def shown(name: str | int | None, longest: int = _LONGEST) -> str:
    """A name for people: nothing invisible in it, and not longer than a line."""
    if name is None:
        return WHOLE
    visible = "".join("\ufffd" if unicodedata.category(c) in _HIDDEN else c for c in str(name))
    if not visible.strip():
        return "(blank)"
    return visible if len(visible) <= longest else visible[: longest - 1] + "…"


def label(name: str, longest: int = 32) -> str:
    """A name as text of a Plotly figure, which reads some HTML; its direction stays its own."""
    short = shown(name, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f"\u2068{short}\u2069"
        if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in short)
        else short
    )


def file_name(run: str) -> str:
    """A run's name as one part of a path or key; unsafe ones get a hash, so that no two become one."""
    if _SAFE.fullmatch(run):
        return run
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", run)[:60].strip("-") or "run"
    return f"{kept}-{blake3(run.encode('utf-8', 'surrogatepass')).hexdigest(length=6)}"
