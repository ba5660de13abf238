"""Who wrote a commit, and whether this Carousel builds the model that the commit holds.

A commit says which Carousel wrote it, and a digest of its model's tensors, so that one look at its meta
tells. Where it is another model the message says in words what differs, and what to do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any, TypeVar

from blake3 import blake3
from torch import nn

from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.job import Job
from storage.checkpoints import Tensor
from storage.checkpoints.format.canonical import dumps
from storage.errors import UserError

DISTRIBUTION = "carousel-lstm"
_PREFIX = "model/"
"""Of the names of a model's tensors in a commit; its moving average has the same ones."""
_SOME = 3
"""Tensors that a message names of each kind."""

Shapes = Mapping[str, tuple[int, ...]]
T = TypeVar("T")


class OtherVersion(UserError):
    """A commit of another Carousel: use that one for it, or train anew with this one."""


class NotTrained(UserError):
    """A commit that Carousel has not trained, such as an import: it has no settings, data or plan."""


def written_by(model: nn.Module) -> dict[str, str]:
    """What a commit's meta says of who wrote it."""
    return {"carousel": _this(), "model": _digest(_shapes_of(model))}


def is_same(meta: Mapping[str, Any], model: nn.Module) -> bool:
    """Whether the meta of a commit tells of the very tensors of `model`; an old commit tells nothing."""
    told = meta.get("written_by")
    return told is not None and told["model"] == _digest(_shapes_of(model))


def check_same(model: nn.Module, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], place: str) -> None:
    """Make sure that a commit holds the tensors of `model`.

    Args:
        model: as this Carousel builds it from the commit's settings.
        tensors: all of the commit's.
        meta: the commit's.
        place: names the commit, `run/id`.

    Raises:
        OtherVersion: some are missing, unknown or of another shape.
    """
    named = {name: tensor.shape for name, tensor in tensors.items() if name.startswith(_PREFIX)}
    there = {name.removeprefix(_PREFIX): shape for name, shape in named.items()}
    now = _shapes_of(model)
    if there == now:
        return
    missing, unknown = sorted(now.keys() - there.keys()), sorted(there.keys() - now.keys())
    other = [
        f"{name} ({_by(there[name])} there, {_by(now[name])} now)"
        for name in sorted(now.keys() & there.keys())
        if there[name] != now[name]
    ]
    kinds = (("lacks", missing), ("also has", unknown), ("has in other shapes", other))
    differs = "; it ".join(f"{verb} {_some(names)}" for verb, names in kinds if names)
    raise OtherVersion(
        f"{place} holds another model than this Carousel builds for its settings "
        f"({_settings(meta)}): it {differs}; {_remedy(meta)}"
    )


def job_of(meta: Mapping[str, Any], place: str) -> Job:
    """The job that a commit froze. Raises OtherVersion, NotTrained."""
    return _understood(lambda: Job.from_json(meta["job"]), meta, place)


def task_of(meta: Mapping[str, Any], place: str) -> ForecastTask:
    """The task that a commit froze. Raises OtherVersion, NotTrained."""
    return _understood(lambda: ForecastTask.from_state(meta["task"]), meta, place)


def check_trained(meta: Mapping[str, Any], place: str) -> None:
    """Make sure that a commit is of a training by Carousel, of whichever version. Raises NotTrained."""
    if "job" not in meta and "task" not in meta:
        raise NotTrained(
            f"{place} was imported, or saved by another program: it holds tensors and no settings, data or"
            " plan, so it cannot be resumed, evaluated, scored or reported; `carousel checkpoints show`,"
            " `restore` and `export` work with it"
        )


def _understood(read: Callable[[], T], meta: Mapping[str, Any], place: str) -> T:
    check_trained(meta, place)
    try:
        return read()
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise OtherVersion(
            f"the settings in {place} are not those of this Carousel: {what}; {_remedy(meta)}"
        ) from error


def _remedy(meta: Mapping[str, Any]) -> str:
    writer = meta.get("written_by", {}).get("carousel")
    who = f"Carousel {writer}" if writer else "an earlier Carousel, which did not note its version"
    return (
        f"it was written by {who}, and this is {_this()}: evaluate, score or resume it with the version that "
        "wrote it, or train a new run with this one"
    )


def _settings(meta: Mapping[str, Any]) -> str:
    """The settings of the model that differ from the defaults or are always worth a word."""
    config = ForecastConfig.from_json(meta["task"]["config"])
    values = asdict(config)
    return ", ".join(f"{name} {values[name]}" for name in ("hidden", "layers", "patch", "scale", "shortcut"))


def _shapes_of(model: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _digest(shapes: Shapes) -> str:
    named = [[name, list(shape)] for name, shape in sorted(shapes.items())]
    return blake3(dumps(named)).hexdigest()[:32]


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more


def _this() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "of a checkout that is not installed"
