"""What runs under a root, where and since when; how its runs stand; how much lies there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from pipelines.config.storage import StorageConfig
from pipelines.runs.states import Runs, states
from pipelines.surroundings.at_work import Work, workers
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.servers import folder_of, is_kept
from pipelines.surroundings.session import connected
from pipelines.upkeep.remains import PARTS
from pipelines.upkeep.sizes import Size, size_text
from storage.errors import UserError
from storage.local import LocalServer


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningServer:
    """A server of this root that runs."""

    name: str
    url: str
    pid: int
    since: datetime
    kept: bool
    """It runs on when no command uses it, until `carousel stop`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Working:
    """A command that works under this root."""

    pid: int
    since: datetime
    command: str
    run: str | None
    """The run that it trains."""
    ranks: list[int]
    """Process ids."""
    log: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """All of it."""

    root: Path
    servers: list[RunningServer]
    commands: list[Working]
    runs: Runs | None
    """None: the repository cannot be looked at."""
    trouble: str | None
    """Why not."""
    parts: dict[str, Size]
    """What lies under the root."""


def look(root: Path, storage: StorageConfig) -> Status:
    """Look at everything. An embedded server that does not run is started for the look at its runs."""
    work, servers = workers(root), _servers(root)
    runs, trouble = None, None
    try:
        if storage.endpoint_url is None and not folder_of(LocalServer, root).exists():
            runs = Runs(runs=[], left_out=0)  # nothing was ever stored here
        else:
            with connected(storage, root) as connection:
                runs = states(connection, root, work)
    except UserError as error:
        trouble = str(error)
    return Status(
        root=root,
        servers=servers,
        commands=[_working(it) for it in work],
        runs=runs,
        trouble=trouble,
        parts={part.name: part.size(root) for part in PARTS},
    )


def shown(status: Status, command: str, config: str) -> Iterable[str | Table]:
    """For a terminal.

    Args:
        status: what was seen.
        command: how `carousel` is called with this root.
        config: the option that names these settings; empty where it is not needed.
    """
    yield f"under {status.root}:"
    yield from _shown_work(status)
    yield ""
    if status.runs is None:
        yield f"runs: {status.trouble}"
    elif not status.runs.runs:
        yield "runs: none yet"
    else:
        yield from _shown_runs(status.runs, command, config)
    yield ""
    kept = {name: size for name, size in status.parts.items() if size.files}
    if kept:
        table = _grid("data", "files", "bytes")
        for name, size in kept.items():
            table.add_row(name, f"{size.files:,}", size_text(size.bytes))
        yield table
    else:
        yield "data: none"


def _shown_work(status: Status) -> Iterable[str | Table]:
    if not status.servers and not status.commands:
        yield "nothing runs"
    if status.servers:
        table = _grid("server", "where", "process", "since", "")
        for server in status.servers:
            until = "until carousel stop" if server.kept else "ends with its command"
            table.add_row(server.name, server.url, str(server.pid), _ago(server.since), until)
        yield table
    for it in status.commands:
        doing = f"trains {it.run}" if it.run else "works"
        ranks = f" with ranks {', '.join(map(str, it.ranks))}" if it.ranks else ""
        yield f"process {it.pid} {doing}{ranks}, since {_ago(it.since)}: {it.command}"


def _shown_runs(runs: Runs, command: str, config: str) -> Iterable[str | Table]:
    table = _grid("run", "state", "step", "commits")
    for it in runs.runs:
        far = f"{it.step}" if it.steps is None else f"{it.step}/{it.steps}"
        table.add_row(it.run, it.state, far, str(it.commits))
    yield table
    for it in runs.runs:
        if it.state in ("cut short", "not begun"):
            yield f"go on with {it.run}: {command} resume {it.run}{config}"
    if runs.left_out:
        yield f"and {runs.left_out} older runs: {command} checkpoints list{config}"


def _servers(root: Path) -> list[RunningServer]:
    found = []
    s3 = LocalServer.find(folder_of(LocalServer, root))
    if s3 is not None:
        kept = is_kept(LocalServer, root)
        found.append(
            RunningServer(name="S3 server", url=s3.endpoint_url, pid=s3.pid, since=s3.since, kept=kept)
        )
    api = PrefectApi.find(folder_of(PrefectApi, root))
    if api is not None:
        kept = is_kept(PrefectApi, root)
        found.append(RunningServer(name="Prefect's UI", url=api.url, pid=api.pid, since=api.since, kept=kept))
    return found


def _working(work: Work) -> Working:
    return Working(
        pid=work.pid,
        since=work.since,
        command=work.command,
        run=work.run,
        ranks=work.ranks(),
        log=work.log or None,
    )


def _grid(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in headers:
        table.add_column(header)
    return table


def _ago(since: datetime) -> str:
    seconds = (datetime.now(UTC) - since).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
