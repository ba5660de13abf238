"""Where a run comes from: table, snapshot, plan, settings, commit, versions, machine."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from platform import platform, python_version
from typing import Any

import yaml

from lstm.training.trained import Trained
from pipelines.display.names import shown
from pipelines.report.content import Lineage
from storage.checkpoints import Head

_PACKAGES = ("carousel-lstm", "torch", "numpy", "pyarrow", "deltalake", "pyiceberg", "prefect", "plotly")


def lineage_of(trained: Trained, meta: dict[str, Any], head: Head, repository: str) -> Lineage:
    """Everything that names what this run read, how it was trained, and where it is kept."""
    return Lineage(
        pairs=tuple((name, shown(value, 300)) for name, value in _pairs(trained, meta, head, repository)),
        versions=tuple(_versions(meta)),
        config=_yaml(trained.job.to_json()),
    )


def _pairs(trained: Trained, meta: dict[str, Any], head: Head, repository: str) -> Iterator[tuple[str, str]]:
    job, plan, commit = trained.job, trained.plan, trained.commit
    yield "run", job.run
    yield "commit", f"{job.run}/{commit.id}"
    yield "step", f"{commit.step:,} of {job.training.steps:,}"
    yield "committed", commit.created
    yield "attempt", commit.attempt
    if head.parent is not None:
        yield "forked from", f"{head.parent.run}/{head.parent.commit}"
    yield "table", job.table.uri
    yield "format", job.table.format
    yield "snapshot id", plan.snapshot_id
    yield "plan id", plan.id
    yield "entity column", job.table.entity or "none: the table is one series"
    yield "time column", job.table.time
    yield "repository", repository


def _versions(meta: dict[str, Any]) -> Iterator[tuple[str, str]]:
    environment = meta.get("environment", {})
    names = {
        "torch": "PyTorch of the training",
        "cpu": "processor of the training",
        "cpu_capability": "its instructions",
        "ranks": "ranks",
        "threads_per_rank": "threads of a rank",
    }
    for key, name in names.items():
        if key in environment:
            yield name, str(environment[key])
    yield "Python of this report", python_version()
    yield "system of this report", platform(terse=True)
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _yaml(job: dict[str, Any]) -> str:
    """The run's frozen settings: plain values without secrets, as its commits hold them."""
    text: str = yaml.safe_dump(_plain(job), sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
