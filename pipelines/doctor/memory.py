"""Memory: what this process may have, against what the run's ranks are allowed to take."""

from collections.abc import Iterator

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, problem, warning
from pipelines.upkeep.sizes import size_text
from storage.host_memory import Memory, memory

RANK_BYTES = 400 * 2**20
"""A rank's own: the interpreter and torch, before any rows."""
SERVERS_BYTES = 600 * 2**20
"""The embedded S3 server and the Prefect API."""


def check(case: Case) -> Iterator[Finding]:
    """What is free against what the run's settings, or the default ones, ask for."""
    from lstm.training.config import TrainingConfig

    run = case.settings().run
    training = TrainingConfig() if run is None else run.training
    yield judged(memory(), training.ranks, training.memory_mib * 2**20)


def judged(found: Memory, ranks: int, budget: int) -> Finding:
    """Whether `ranks` ranks, which may each hold `budget` bytes of rows, have room."""
    wanted = ranks * (budget + RANK_BYTES) + SERVERS_BYTES
    where = "this container" if found.limited else "this machine"
    seen = f"{size_text(found.free)} of {size_text(found.total)} free on {where}"
    asked = f"{ranks} ranks x {size_text(budget)} of rows, with themselves and servers {size_text(wanted)}"
    figures = {
        "free_bytes": found.free,
        "total_bytes": found.total,
        "wanted_bytes": wanted,
        "container_limit": found.limited,
    }
    if found.total < ranks * (RANK_BYTES + budget):
        fits = max(0, found.total // ranks - RANK_BYTES) // 2**20
        remedy = f"set training.memory_mib to at most {fits}, or fewer training.ranks"
        return problem("memory", f"{seen}; a run may take {asked}", remedy, **figures)
    if found.free < wanted:
        remedy = "close other programs, or lower training.memory_mib or training.ranks"
        return warning("memory", f"{seen}; a run may take up to {asked}", remedy, **figures)
    return ok("memory", f"{seen}; a run may take {asked}", **figures)
