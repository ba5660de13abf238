"""Who flows report to: does it answer, and is it the version that we speak to?"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, problem, warning
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.reporting import API_URL, trouble_with
from pipelines.surroundings.servers import folder_of

_WAIT_S = 4


def check(case: Case) -> Iterator[Finding]:
    """Theirs, where PREFECT_API_URL names one; else ours."""
    theirs = os.environ.get(API_URL)
    if theirs:
        yield from _answers(
            theirs, f"{API_URL} names it: start that server, correct the address, or unset it"
        )
        return
    api = PrefectApi.find(folder_of(PrefectApi, case.root))
    if api is None:
        yield ok("API", "ours, on loopback: a command that needs it starts it (6 s the first time)")
    else:
        yield from _answers(api.api_url, "carousel stop, then the same command again: it starts anew")


def _answers(url: str, remedy: str) -> Iterator[Finding]:
    began = time.monotonic()
    trouble = trouble_with(url, _WAIT_S)
    if trouble is not None:
        yield problem("API", f"{url}: {trouble}", remedy, url=url)
        return
    took = time.monotonic() - began
    yield ok("API", f"{url} answers in {1000 * took:.0f} ms", url=url, seconds=took)
    ours, its = metadata.version("prefect"), _version(url)
    if its is None:
        yield ok("version", f"ours is {ours}; the server does not tell its own", ours=ours)
    elif its.split(".")[:2] == ours.split(".")[:2]:
        yield ok(
            "version", f"{its}, as ours" if its == ours else f"{its}; ours is {ours}", ours=ours, its=its
        )
    else:
        same = f"run the server with prefect=={ours}, or expect requests that it does not understand"
        yield warning("version", f"the server is Prefect {its}, ours is {ours}", same, ours=ours, its=its)


def _version(url: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/admin/version", timeout=_WAIT_S) as answer:  # noqa: S310 - it has just answered
            return str(json.load(answer))
    except (OSError, ValueError, urllib.error.URLError):  # Prefect Cloud has no such page
        return None
