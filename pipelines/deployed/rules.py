"""What the server does about a run whose process was killed: it is noticed, and started again.

A flow that runs sends a heartbeat every 30 s (PREFECT_FLOWS_HEARTBEAT_FREQUENCY, Prefect's shortest). Prefect
itself does nothing about one that falls silent: the run would be "Running" for ever, and hold its place among
the runs of its deployment. A repeated run goes on from its newest commit, as any run does.
"""

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

SILENCE = timedelta(seconds=90)
"""Three heartbeats: after this long without one the process counts as killed."""
ATTEMPTS = 4
"""How often a run is started in all. One that always dies, of too little memory say, is left for a person."""

_ANY_RUN = ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"})


def rules() -> list[AutomationCore]:
    """The two rules, as Prefect's automations."""
    return [_noticed(), _repeated()]


def _noticed() -> AutomationCore:
    return AutomationCore(
        name="a run that fell silent has crashed",
        description=f"No heartbeat for {SILENCE.seconds} s: its process was killed.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=_ANY_RUN,
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Completed",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
                "prefect.flow-run.AwaitingRetry",
            },
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name=None,
                force=False,
                message=f"no heartbeat for {SILENCE.seconds} s: its process was killed",
            )
        ],
    )


def _repeated() -> AutomationCore:
    return AutomationCore(
        name="a crashed run goes on",
        description=f"Started again, {ATTEMPTS} times in all; training goes on from the newest commit.",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match=ResourceSpecification.model_validate(
                {
                    "prefect.resource.id": "prefect.flow-run.*",
                    "prefect.run-count": [str(count) for count in range(ATTEMPTS)],
                }
            ),
            # A flow within a flow is started again by the outer one, which alone has a deployment.
            match_related=ResourceSpecification.model_validate(
                {"prefect.resource.role": "deployment", "prefect.resource.id": "prefect.deployment.*"}
            ),
            for_each={"prefect.resource.id"},
            expect={"prefect.flow-run.Crashed"},
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                force=False,
                message="its process was killed; it goes on from its newest commit",
            )
        ],
    )
