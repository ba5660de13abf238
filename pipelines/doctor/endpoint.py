"""The way to an S3 server, and its clock: S3 refuses who is more than a quarter of an hour off."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime

from pipelines.doctor.finding import Finding, ok, problem, warning
from storage.object_settings import settings_of
from storage.objects import Access

WAIT_S = 3
SKEW_S = 300
"""S3 refuses at 900 s; a clock that is this far off is not looked after, and gets there."""
NOTABLE_SKEW_S = 30


def visit(access: Access) -> Iterator[Finding]:
    """Ask the server anything: how long its answer takes, and what its clock says."""
    found = settings_of(access)
    url = found.endpoint_url or f"https://s3.{found.region}.amazonaws.com"
    began, clock = time.monotonic(), datetime.now(UTC)
    try:
        headers = _headers(url)
    except (OSError, ValueError) as error:
        yield problem("endpoint", f"{url} does not answer: {_reason(error)}", _remedy(error), url=url)
        return
    took = time.monotonic() - began
    yield ok("endpoint", f"{url} answers in {1000 * took:.0f} ms", url=url, seconds=took)
    yield _clock(headers.get("Date"), clock, took)


def _headers(url: str) -> Message:
    try:
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310 - checked when Access was made
            headers: Message = answer.headers
    except urllib.error.HTTPError as refusal:  # it wants keys: it is there
        return refusal.headers
    return headers


def _clock(date: str | None, ours: datetime, took: float) -> Finding:
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return ok("clock", "the server does not tell its time")
    # Its header was made while we waited, and leaves fractions of a second out.
    skew = (theirs - ours).total_seconds() - took / 2 + 0.5
    seen = f"this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server's"
    remedy = "set the clock: timedatectl set-ntp true, or restart the time service"
    if abs(skew) > SKEW_S:
        return problem("clock", f"{seen}; S3 refuses requests from 900 s on", remedy, skew_s=skew)
    if abs(skew) > NOTABLE_SKEW_S:
        return warning("clock", seen, remedy, skew_s=skew)
    return ok("clock", "as the server's" if abs(skew) < 2 else seen, skew_s=skew)


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"no answer within {WAIT_S} s"
    return getattr(reason, "strerror", None) or str(reason)


def _remedy(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLError):
        return "name the authority that signed its certificate: AWS_CA_BUNDLE and SSL_CERT_FILE"
    return "is the server up, the address (storage.endpoint_url) right, and no firewall or proxy between?"
