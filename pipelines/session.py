"""What a command needs around its flow: the servers, a connection to the bucket, and somebody who reports.

Everything is started at the same time, and ended with the command unless somebody else uses it.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.config.storage import StorageConfig
from pipelines.connect import Connection, connect
from pipelines.prefect_api import PrefectApi
from pipelines.servers import Server, borrow
from storage.local import LocalServer

API_URL = "PREFECT_API_URL"
"""Set by users who have a Prefect server: then ours is not started, and flows report to theirs."""


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
    before = dict(os.environ)
    os.environ.update(api.client_environment())
    # Imported only now: Prefect reads its settings, and makes its home, at import.
    from prefect.context import refresh_global_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    refresh_global_settings_context()
    try:
        yield
    finally:
        for worker in (APILogWorker, EventsWorker):  # while the server is still there to take the last lines
            worker.drain_all(timeout=5)
        os.environ.clear()
        os.environ.update(before)
