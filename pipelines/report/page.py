"""Set a report as one HTML page that needs nothing else: no network, no server, no other file.

Names that others chose reach the page in two ways only: as text that Jinja escapes, and inside one block of
JSON in which `<`, `>` and `&` are written as escapes, so that nothing in it can end the block. A content
security policy allows the page's own two scripts by their hashes, and no request at all.

Plotly's script is most of a page: 4.8 MB, or 2.0 MB packed (gzip, base64). It is unpacked by the browser.
"""

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from pipelines.display.names import shown
from pipelines.report import wording
from pipelines.report.content import Missing, Report
from pipelines.report.drawn import drawn

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page(report: Report) -> str:
    """The whole page."""
    figures = drawn(report)
    script = _text("page.js")
    plotly, plotly_hash = _plotly()
    every = [figure.to_json() for section in figures.values() for figure in section]
    return (
        _environment()
        .from_string(_text("page.html"))
        .render(
            report=report,
            figures=figures,
            policy=_policy(_hash(script), plotly_hash),
            style=Markup(_text("page.css")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            plotly=Markup(plotly),  # noqa: S704 - base64
            data=Markup(json_block(every)),  # noqa: S704 - escaped there
        )
    )


def json_block(value: Any) -> str:
    """JSON that may stand in a `script` element: no text in it can end the element, or begin a comment."""
    text = json.dumps(_compact(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character, written in _ESCAPES.items():
        text = text.replace(character, written)
    return text.encode("utf-8", "replace").decode()


def _compact(value: Any) -> Any:
    """Six digits of a figure, more than a screen shows; times, which are larger, as they are."""
    if isinstance(value, dict):
        return {key: _compact(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_compact(each) for each in value]
    if not isinstance(value, float):
        return value
    if value.is_integer():
        return int(value)
    return value if abs(value) >= 1e6 else float(f"{value:.6g}")


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "figure": wording.number,
        "share": wording.share,
        "size": wording.size,
        "prose": _prose,
        "shown": shown,
    }
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    return environment


def _prose(text: str) -> Markup:
    """Escaped text in which what stands between backticks, a command mostly, is set as code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _policy(*scripts: str) -> str:
    allowed = " ".join(f"'sha256-{each}'" for each in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _text(name: str) -> str:
    return (resources.files("pipelines.report") / "template" / name).read_text("utf-8")


@cache
def _plotly() -> tuple[str, str]:
    """Plotly's script, packed; and its hash as it is run."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    packed = gzip.compress(source.encode(), 6, mtime=0)
    return base64.b64encode(packed).decode(), _hash(source)


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
