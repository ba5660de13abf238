"""Put a report where people look: on disk, in the bucket, and as an artifact of the flow."""

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from lstm.tasks.evaluate import Evaluation
from lstm.training.trained import Trained
from pipelines.display.names import file_name
from pipelines.display.waiting import waiting
from pipelines.report.attempts import folder
from pipelines.report.content import Missing, Report
from pipelines.report.gather import gather
from pipelines.report.page import page
from pipelines.surroundings.connect import Connection
from storage.errors import UserError

BROWSER_URL = "CAROUSEL_OBJECT_BROWSER_URL"
"""Names the web page of buckets, as the reader's machine finds it; bucket and key are appended."""


class ReportNotWritten(UserError):
    """The disk did not take the page."""


@dataclass(frozen=True, slots=True)
class Published:
    """A report that has been made."""

    run: str
    commit: str
    path: Path
    uri: str
    bytes: int
    seconds: float
    verdict: str


def make_report(
    connection: Connection,
    trained: Trained,
    evaluated: Evaluation | Missing,
    why: str,
    root: Path,
    out: Path | None = None,
) -> Published:
    """Gather, set, write, and tell Prefect; called inside a flow.

    Args:
        connection: the bucket, and the lake that the table is read from.
        trained: the commit that the report is about.
        evaluated: its figures, or why there are none.
        why: why this very commit, as a sentence.
        root: under it lies `reports/<run>.html`.
        out: another file to write instead.

    Raises:
        UserError: the disk or the bucket does not take it.
    """
    from prefect.artifacts import create_markdown_artifact

    began = time.monotonic()
    with waiting(f"making the report of {trained.job.run}"):
        report = gather(connection, trained, evaluated, why)
        html = page(report).encode()
        path = out or root / "reports" / f"{file_name(report.run)}.html"
        _write(path, html)
        place = folder(connection.reports, report.run)
        connection.bucket.put(f"{place}/report.html", html)
        figures = json.dumps(report.to_json(), allow_nan=False).encode()
        connection.bucket.put(f"{place}/report.json", figures)
    done = Published(
        run=report.run,
        commit=trained.commit.id,
        path=path,
        uri=f"s3://{connection.bucket.name}/{place}/report.html",
        bytes=len(html),
        seconds=time.monotonic() - began,
        verdict=report.about.verdict,
    )
    create_markdown_artifact(
        key="report", markdown=_markdown(report, done), description=f"Report of run {report.run}"
    )
    return done


def _write(path: Path, html: bytes) -> None:
    """Whole or not at all: a page that is open in a browser is never half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(html)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ReportNotWritten(
            f"the report cannot be written to {path}: {error.strerror or error}; "
            "free the disk or its folder, or name another file: carousel report --out FILE"
        ) from error


def _markdown(report: Report, done: Published) -> str:
    rows = "\n".join(
        f"| {_said(fact.label)} | {_said(fact.value)} | {_said(fact.note)} |" for fact in report.about.facts
    )
    sentences = "\n\n".join(_said(sentence) for sentence in report.about.sentences)
    return (
        f"# Run {_said(report.run)}: {report.about.state}\n\n**{_said(report.about.verdict)}**\n\n"
        f"{_said(report.about.state_note)}\n\n|  |  |  |\n|---|---|---|\n{rows}\n\n{sentences}\n\n"
        f"## The whole report\n\n- on disk: `{done.path}`\n- in the bucket: `{done.uri}`\n{_link(done)}\n"
        f"Commit {done.commit}. Open it in a browser; it needs no network.\n"
    )


def _link(done: Published) -> str:
    """A line with what can be clicked: the run's folder in the bucket's own web page, where there is one."""
    if not (browser := os.environ.get(BROWSER_URL)):
        return ""
    bucket, _, key = done.uri.removeprefix("s3://").partition("/")
    place = key.rpartition("/")[0] + "/"
    url = f"{browser.rstrip('/')}/{quote(bucket, safe='')}/{quote(place, safe='')}"
    return f"- to click, with the bucket's keys at hand: [{_said(place)}]({url})\n"


def _said(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~>-])", r"\\\1", escape(text, quote=False).replace("\n", " "))
