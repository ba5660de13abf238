"""What a command needs around its flow: the servers, a connection to the bucket, and somebody who reports.

Everything is started at the same time, and ended with the command unless somebody else uses it.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.config.storage import StorageConfig
from pipelines.display.terminal import warn
from pipelines.display.waiting import waiting
from pipelines.surroundings.at_work import at_work
from pipelines.surroundings.connect import Connection, connect
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.reporting import API_URL, reporting_to, reporting_to_theirs
from pipelines.surroundings.room import enough_room
from pipelines.surroundings.servers import Server, borrow, folder_of
from pipelines.surroundings.target import TARGET_KEYS
from storage.local import LocalServer, settled_address

_NAMES: dict[type[Server], str] = {LocalServer: "the S3 server", PrefectApi: "the Prefect API"}


@contextmanager
def connected(storage: StorageConfig, root: Path) -> Iterator[Connection]:
    """The bucket of `storage`, with the embedded server around it where the config names no other."""
    with _borrowed(_s3(storage), root):
        yield connect(storage, root)


@contextmanager
def connected_to_both(
    storage: StorageConfig, target: StorageConfig, root: Path
) -> Iterator[tuple[Connection, Connection]]:
    """The bucket of `storage`, and that of `target`, which may have keys of its own."""
    with _borrowed(_s3(storage) or _s3(target), root):
        yield connect(storage, root), connect(target, root, keys=TARGET_KEYS)


@contextmanager
def flow_session(storage: StorageConfig, root: Path) -> Iterator[None]:
    """Servers for flows: they find the bucket with `connect`, and Prefect by this process's environment."""
    theirs = os.environ.get(API_URL)
    if theirs:
        with reporting_to_theirs(theirs), at_work(root), _borrowed(_s3(storage), root):
            yield
        return
    with at_work(root), _borrowed([*_s3(storage), PrefectApi], root) as servers:
        api = next(it for it in servers if isinstance(it, PrefectApi))
        with reporting_to(api):
            yield


def _s3(storage: StorageConfig) -> list[type[Server]]:
    return [LocalServer] if storage.endpoint_url is None else []


@contextmanager
def _borrowed(kinds: list[type[Server]], root: Path) -> Iterator[list[Server]]:
    if not kinds:
        yield []
        return
    absent = [kind for kind in kinds if kind.find(folder_of(kind, root)) is None]
    before = settled_address(folder_of(LocalServer, root))
    # The pool is left before the stack is unwound: a server that is still starting is ended too.
    with enough_room(root), ExitStack() as stack:
        with ExitStack() as starting, ThreadPoolExecutor(len(kinds)) as pool:
            if absent:
                starting.enter_context(waiting(f"starting {' and '.join(_NAMES[kind] for kind in absent)}"))
            servers = list(pool.map(stack.enter_context, [borrow(kind, root) for kind in kinds]))
        for server in servers:
            if isinstance(server, LocalServer) and before not in (None, server.endpoint_url):
                warn(f"a port of the S3 server is taken by another program; now it is {server.endpoint_url}")
        try:
            yield servers
        finally:
            with waiting("leaving the servers"):  # whoever is the last to leave ends them
                stack.close()
