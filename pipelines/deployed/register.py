"""Register the deployments of `prefect.yaml` and the rules around them.

`python -m pipelines.deployed.register` may be run again at any time; runs in progress do not notice.
"""

import asyncio
import subprocess
import sys
from contextlib import suppress

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from pipelines.deployed.rules import rules

POOL = "carousel"
"""The work pool whose worker runs the flows, as processes in its own container."""


def main() -> None:
    """Pool and rules first: a deployment must not run before they are there."""
    asyncio.run(_pool_and_rules())
    subprocess.run([sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"], check=True)


async def _pool_and_rules() -> None:
    async with get_client() as client:
        template = ProcessWorker.get_default_base_job_template()
        with suppress(ObjectAlreadyExists):  # registered before
            await client.create_work_pool(
                WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template)
            )
        for rule in rules():
            await _keep(client, rule)


async def _keep(client: PrefectClient, rule: AutomationCore) -> None:
    """Make a rule, or change it. One that is as it should be is let alone: it counts heartbeats right now."""
    known = await client.read_automations_by_name(rule.name)
    if not known:
        await client.create_automation(rule)
    elif any(_definition(known[0])[key] != value for key, value in _definition(rule).items()):
        await client.update_automation(known[0].id, rule)


def _definition(rule: AutomationCore) -> dict[str, object]:
    """What a rule says, without the identifiers that the server adds."""
    plain = rule.model_dump(mode="json", exclude={"trigger": {"id"}})
    return {key: plain[key] for key in ("description", "trigger", "actions")}


if __name__ == "__main__":
    main()
