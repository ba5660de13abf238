"""The whole run of a table: places, settings, and steps for the minutes that training may take."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstm.training.calibrate import measure_speed
from pipelines.config.checks import checked
from pipelines.config.load import validated
from pipelines.config.model import PredictionsConfig, RunConfig, RunName, TableConfig
from pipelines.config.storage import AccessConfig, Section, StorageConfig
from pipelines.derive.budget import choose_steps
from pipelines.derive.choose import Choice, choose
from pipelines.derive.explain import flat
from pipelines.derive.places import Places, predictions_of, storage_and_access
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import Request
from pipelines.display.waiting import waiting
from pipelines.surroundings.connect import Connection
from pipelines.surroundings.session import connected
from storage.checkpoints import RepositoryMissing
from storage.tables import open_table

_NAME_LENGTH = 60
_TOLD = "as told (--set, or the environment)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """A run's settings, each with its reason."""

    config: RunConfig
    reasons: Reasons


def derive(
    places: Places, wish: Request, root: Path, *, run: str | None = None, assignments: Sequence[str] = ()
) -> Derived:
    """Look at the table, choose, rehearse for some seconds. Starts the embedded server where one is needed.

    Args:
        places: where the table is, and where the rest goes.
        wish: what the user says.
        root: folder of the embedded server and of logs.
        run: the run's name; None: after the table.
        assignments: `section.key=value`, which go before what is chosen; with `training.steps` nothing is
            rehearsed.

    Raises:
        UserError: the table cannot serve, or the options contradict each other.
    """
    if run is not None:
        checked(_Named, {"run": run}, {("run",): "--run"})
    reasons = Reasons()
    storage, access = storage_and_access(places, reasons)
    with connected(storage, root) as bucket:
        connection = bucket.reading(access)
        with waiting(f"looking at {places.table}"):
            source = open_table(connection.data, places.table)
            choice = choose(source, wish, connection.bucket, reasons)
            name = _run_name(places.table, run, _taken(connection), reasons)
        predictions = predictions_of(storage, source, name, reasons)
        chosen = _config(name, places.table, storage, access, choice, predictions)
        config = _overridden(chosen, assignments, reasons)
        if config.training.steps != chosen.training.steps:
            return Derived(config=config, reasons=reasons)
        with waiting("timing a few steps"):
            job = config.job(choice.snapshot.id)
            log = root / "logs" / f"{name}-rehearsal.log"
            speed = measure_speed(job, connection.lake, data=connection.data, log=log)
    told = dict(reasons.by_key)
    training = choose_steps(config.training, choice.plan, wish.budget, speed, reasons)
    config = config.model_copy(update={"training": training})
    reasons.by_key |= {key: why for key, why in told.items() if why == _TOLD}
    return Derived(config=_overridden(config, assignments, reasons), reasons=reasons)


class _Named(Section):
    """What can be wrong with a name is told before the table is looked at."""

    run: RunName
    """The run's name: letters, digits, `.`, `_`, `-`."""


def _overridden(config: RunConfig, assignments: Sequence[str], reasons: Reasons) -> RunConfig:
    """What `--set` and the environment say goes before what was chosen."""
    over = validated(config.model_dump(mode="json"), assignments=assignments)
    before, after = flat(config), flat(over)
    for key in after:
        if before.get(key) != after[key]:
            reasons.add(key, _TOLD)
    return over


def _config(
    run: str,
    table: str,
    storage: StorageConfig,
    access: AccessConfig | None,
    choice: Choice,
    predictions: PredictionsConfig,
) -> RunConfig:
    return RunConfig(
        run=run,
        storage=storage,
        table=TableConfig(
            uri=table,
            format="iceberg" if choice.format == "iceberg" else "delta",
            entity=choice.entity,
            time=choice.time,
            max_gap=choice.max_gap,
            access=access,
        ),
        window=choice.window,
        split=choice.split,
        order=choice.order,
        forecast=choice.forecast,
        training=choice.training,
        predictions=predictions,
    )


def _taken(connection: Connection) -> Collection[str]:
    try:
        return set(connection.existing_repository().runs())
    except RepositoryMissing:
        return ()


def _run_name(table: str, told: str | None, taken: Collection[str], reasons: Reasons) -> str:
    """A name that no run has yet; one that was told is taken as it is."""
    if told is not None:
        reasons.add("run", "as told (--run)")
        return told
    last = table.rstrip("/").rpartition("/")[2].removesuffix(".metadata.json")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("._-")[:_NAME_LENGTH] or "run"
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    reasons.add(
        "run", "after the table" if number == 1 else f"after the table; {name} and the like are taken"
    )
    return free
