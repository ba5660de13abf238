"""Run a deployment and follow it to its end.

`python -m pipelines.deployed.follow demo-stack/demo [KEY=JSON …]` prints the log of the run. Exit code 0:
completed; 1: anything else. A run that is killed meanwhile is followed into its next attempt. Ctrl-C leaves
the run alone, which goes on.
"""

import asyncio
import json
import sys
import time
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, Log, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.deployments import arun_deployment

from pipelines.deployed.rules import ATTEMPTS

_EVERY_S = 1.0
_PAGE = 200
_LAST_LINES_S = 3.0
"""A flow's last lines reach the server this long after its end."""
_AGAIN_S = 20.0
"""Within this time a crashed run is scheduled again, if ever."""


def main(arguments: list[str]) -> int:
    """Start, follow, and answer with the exit code."""
    name, *assignments = arguments
    parameters = {key: json.loads(value) for key, _, value in (it.partition("=") for it in assignments)}
    try:
        return asyncio.run(_follow(name, parameters))
    except KeyboardInterrupt:
        print("left; the run goes on", file=sys.stderr)  # noqa: T201 - a command's own output
        return 130


async def _follow(name: str, parameters: dict[str, Any]) -> int:
    run = await arun_deployment(name, parameters=parameters, timeout=0)
    _say(f"run {run.name!r} of {name} ({run.id})")
    async with get_client() as client:
        lines, told = _Lines(client, run.id), None
        while not _is_over(run):
            if run.state_name != told:
                told = run.state_name
                _say(f"· {told}")
            await lines.show()
            await asyncio.sleep(_EVERY_S)
            run = await client.read_flow_run(run.id)
        await asyncio.sleep(_LAST_LINES_S)
        await lines.show()
    assert run.state is not None
    if run.state.type is StateType.COMPLETED:
        return 0
    _say(f"{run.state_name}: {run.state.message or 'no message'}")
    return 1


def _is_over(run: FlowRun) -> bool:
    state = run.state
    if state is None or not state.is_final():
        return False
    if state.type is not StateType.CRASHED or run.run_count >= ATTEMPTS:
        return True
    return time.time() - state.timestamp.timestamp() > _AGAIN_S


class _Lines:
    """The log of a run, each line once."""

    def __init__(self, client: PrefectClient, run_id: UUID) -> None:
        self._client = client
        self._run_id = run_id
        self._shown: set[UUID] = set()
        self._seen = 0

    async def show(self) -> None:
        """Print what has come since the last call."""
        for line in await self._new():
            _say(f"{line.timestamp:%H:%M:%S} {line.message}")

    async def _new(self) -> list[Log]:
        logs = await self._client.read_logs(
            log_filter=LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self._run_id])),
            sort=LogSort.TIMESTAMP_ASC,
            limit=_PAGE,
            offset=max(0, self._seen - _PAGE // 2),  # a line may arrive after a later one
        )
        found = [it for it in logs if it.id is not None and it.id not in self._shown]
        self._shown.update(it.id for it in found if it.id is not None)
        self._seen += len(found)
        return found


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's own output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
