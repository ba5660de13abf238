"""The ports that the embedded servers settled on: free, ours, or somebody else's by now."""

from collections.abc import Iterator

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, skipped, warning
from pipelines.surroundings.prefect_api import PrefectApi, settled_port
from pipelines.surroundings.servers import folder_of
from storage.local import LocalServer, settled_ports
from storage.loopback import is_free


def check(case: Case) -> Iterator[Finding]:
    """Those of the S3 server, then that of the Prefect API."""
    s3 = folder_of(LocalServer, case.root)
    yield _judged("S3 server", settled_ports(s3), LocalServer.find(s3) is not None)
    api = folder_of(PrefectApi, case.root)
    port = settled_port(api)
    yield _judged("Prefect's UI", {} if port is None else {"http": port}, PrefectApi.find(api) is not None)


def _judged(name: str, ports: dict[str, int], runs: bool) -> Finding:
    if not ports:
        return skipped(name, "it was never started here; it takes ports that are free then")
    numbers = sorted(ports.values())
    if runs:
        return ok(name, f"{_all(numbers)} ours: it runs", ports=numbers)
    taken = [port for port in numbers if not is_free(port)]
    if taken:
        return warning(
            name,
            f"another program has port {', '.join(map(str, taken))}",
            "end that program to keep the server's address; else it moves to free ports and says where",
            ports=numbers,
            taken=taken,
        )
    return ok(name, f"{_all(numbers)} free", ports=numbers)


def _all(numbers: list[int]) -> str:
    return f"{numbers[0]} is" if len(numbers) == 1 else f"all {len(numbers)} are"
