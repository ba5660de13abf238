"""Who flows report to: a Prefect API of ours on loopback, or the one that PREFECT_API_URL names."""

import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from urllib.parse import urlsplit

from pipelines.display.terminal import warn
from pipelines.display.waiting import waiting
from pipelines.surroundings.prefect_api import PrefectApi
from storage.errors import UserError

API_URL = "PREFECT_API_URL"
"""Set by users who have a Prefect server: then ours is not started, and flows report to theirs."""
_LOOK_EVERY_S = 1.0
_ANSWER_S = 5.0


class PrefectGone(UserError):
    """The Prefect API that we started died while a flow reported to it."""


class PrefectUnreachable(UserError):
    """Nobody answers where PREFECT_API_URL points."""


@contextmanager
def reporting_to_theirs(url: str) -> Iterator[None]:
    """Flows report to the API at `url`, which must answer; their lines stand there, not on this terminal.

    Raises:
        PrefectUnreachable: it does not answer.
    """
    trouble = trouble_with(url)
    if trouble is not None:
        raise PrefectUnreachable(
            f"{API_URL} is {url}, but {trouble}; start that server or correct the address, or unset "
            f"{API_URL}: then Carousel starts a Prefect API of its own"
        )
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    yield


def trouble_with(url: str, wait_s: float = _ANSWER_S) -> str | None:
    """Why the Prefect API at `url` cannot be used; None if it answers."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "that is no address like http://host:4200/api"
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=wait_s):  # noqa: S310 - checked above
            return None
    except urllib.error.HTTPError as answer:
        # Somebody is there: it wants to know who asks first, which Prefect's client will tell it.
        return None if answer.code in (401, 403) else f"it answers {answer.code} to a question for its health"
    except ValueError as error:
        return f"that is no address: {error}"
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"it does not answer ({getattr(reason, 'strerror', None) or reason})"


@contextmanager
def reporting_to(api: PrefectApi) -> Iterator[None]:
    """Flows report to our own API for as long as the block runs, and this process's environment says so."""
    before, told = dict(os.environ), logging.raiseExceptions
    os.environ.update(api.client_environment())
    # Imported only now: Prefect reads its settings, and makes its home, at import.
    with waiting("loading Prefect"):
        from httpx import HTTPError
        from prefect.context import refresh_global_settings_context
        from prefect.events.worker import EventsWorker
        from prefect.exceptions import PrefectException
        from prefect.logging.handlers import APILogWorker

        import_module("prefect.flows")  # every flow needs it, and it takes the longest

    refresh_global_settings_context()
    logging.raiseExceptions = False  # a line that does not reach Prefect is told once, by what is raised here
    try:
        with _watched(api):
            yield
    except (
        HTTPError,
        PrefectException,
    ) as error:  # the latter: a stranger has its port, and knows no such flow
        if PrefectApi.find(api.folder) is not None:
            raise
        raise PrefectGone(
            f"the Prefect API at {api.url} has ended (killed, or out of memory?), so the flow could not "
            "report to it any more; what is committed stays. `carousel resume RUN` where a run was trained, "
            "the same command elsewhere, starts it again and goes on"
        ) from error
    finally:
        alive = PrefectApi.find(api.folder) is not None
        for worker in (APILogWorker, EventsWorker):  # while the server is still there to take the last lines
            worker.drain_all(timeout=5 if alive else 0)
        if alive:  # else its last lines fail as late as this process's end
            logging.raiseExceptions = told
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _watched(api: PrefectApi) -> Iterator[None]:
    """Say it once, when it happens, if the API ends while a flow goes on; Prefect tells at its end only."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY_S):
            found = PrefectApi.find(api.folder)
            if found is None or found.pid != api.pid:
                warn(
                    f"the Prefect API at {api.url} has ended (killed, or out of memory?); the work goes on "
                    "and what it commits stays, but nothing of it is reported any more"
                )
                return

    watcher = threading.Thread(target=watch, name="prefect-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
