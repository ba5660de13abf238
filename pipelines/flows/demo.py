"""The demo: ingest, train or go on training, evaluate, score."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from pipelines.config.model import RunConfig
from pipelines.demo.settings import next_name
from pipelines.display.terminal import console
from pipelines.flows.evaluate import Evaluated, evaluate
from pipelines.flows.ingest import Ingested, ingest
from pipelines.flows.score import Scored, score
from pipelines.flows.train import (
    TrainedRun,
    finished_run,
    has_commits,
    pinned_job,
    resume,
    train,
)
from pipelines.sources import FLIGHTS, Target
from pipelines.surroundings.connect import connect


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo did."""

    ingested: Ingested
    trained: TrainedRun
    evaluated: Evaluated
    scored: Scored


@flow(flow_run_name="demo {config.table.format}")
def demo(config: RunConfig, root: Path, fresh: bool = False) -> Shown:
    """The whole path. A run that was cut short goes on; one that is finished is not trained again."""
    ingested = ingest(Target.of(config), root, [FLIGHTS])
    connection = connect(config.storage, root, config.table.access)
    repository, job = connection.repository(), pinned_job(config, connection)
    config = config.named(next_name(config.run, job, repository, fresh=fresh))
    trained = finished_run(connection, config.run)
    if trained is not None:
        console(stderr=True).print(f"  run {config.run} is finished; `--fresh` trains another")
    else:
        begun = has_commits(connection, config.run)
        trained = resume(config.storage, config.run, root) if begun else train(config, root)
    return Shown(
        ingested=ingested,
        trained=trained,
        evaluated=evaluate(config.storage, trained.run, root),
        scored=score(config, root),
    )
