"""The background servers of the root: running, not needed now, or killed in the middle."""

from collections.abc import Iterator

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, warning
from pipelines.surroundings.at_work import workers
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.servers import folder_of, is_kept, was_killed
from storage.local import LocalServer


def check(case: Case) -> Iterator[Finding]:
    """What their records say, against what really runs."""
    api = PrefectApi.find(folder_of(PrefectApi, case.root))
    s3 = LocalServer.find(folder_of(LocalServer, case.root))
    for name, kind, server, url in (
        ("S3 server", LocalServer, s3, s3.endpoint_url if s3 else ""),
        ("Prefect's UI", PrefectApi, api, api.url if api else ""),
    ):
        if server is not None:
            until = "kept until carousel stop" if is_kept(kind, case.root) else "a command uses it"
            yield ok(name, f"{url}, process {server.pid}, {until}", url=url, pid=server.pid)
        elif was_killed(kind, case.root):
            yield warning(
                name,
                "it ended without being told to (killed, out of memory, or the machine went down)",
                "nothing: the next command starts it again, its data are there; carousel stop tidies up now",
            )
        else:
            yield ok(name, "does not run; commands that need it start it and end it")
    busy = workers(case.root)
    if busy:
        what = ", ".join(f"{work.command} (process {work.pid})" for work in busy)
        yield ok("commands", what, count=len(busy))
