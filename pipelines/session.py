"""What a command needs around its flow: the servers, a connection to the bucket, and somebody who reports.

Everything is started at the same time, and ended with the command unless somebody else uses it.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.config.storage import StorageConfig
from pipelines.connect import Connection, connect
from pipelines.prefect_api import PrefectApi
from pipelines.servers import Server, borrow
from storage.errors import UserError
from storage.local import LocalServer

API_URL = "PREFECT_API_URL"
"""Set by users who have a Prefect server: then ours is not started, and flows report to theirs."""


class PrefectGone(UserError):
    """The Prefect API that we started died while a flow reported to it."""


@contextmanager
def connected(storage: StorageConfig, root: Path) -> Iterator[Connection]:
    """The bucket of `storage`, with the embedded server around it where the config names no other."""
    with _borrowed(_s3(storage), root):
        yield connect(storage, root)


@contextmanager
def flow_session(storage: StorageConfig, root: Path) -> Iterator[None]:
    """Servers for flows: they find the bucket with `connect`, and Prefect by this process's environment."""
    theirs = API_URL in os.environ
    kinds = _s3(storage) if theirs else [*_s3(storage), PrefectApi]
    with _borrowed(kinds, root) as servers:
        api = next((it for it in servers if isinstance(it, PrefectApi)), None)
        if api is None:
            yield
        else:
            with _reporting_to(api):
                yield


def _s3(storage: StorageConfig) -> list[type[Server]]:
    return [LocalServer] if storage.endpoint_url is None else []


@contextmanager
def _borrowed(kinds: list[type[Server]], root: Path) -> Iterator[list[Server]]:
    # The pool is left before the stack is unwound: a server that is still starting is ended too.
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(kinds) or 1) as pool:
            servers = list(pool.map(stack.enter_context, [borrow(kind, root) for kind in kinds]))
        yield servers


@contextmanager
def _reporting_to(api: PrefectApi) -> Iterator[None]:
    before, told = dict(os.environ), logging.raiseExceptions
    os.environ.update(api.client_environment())
    # Imported only now: Prefect reads its settings, and makes its home, at import.
    from httpx import HTTPError
    from prefect.context import refresh_global_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.exceptions import PrefectException
    from prefect.logging.handlers import APILogWorker

    refresh_global_settings_context()
    logging.raiseExceptions = False  # a line that does not reach Prefect is told once, by what is raised here
    try:
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
