"""A trained model out of a repository, ready to forecast: nothing of the optimiser is read."""

import math
from dataclasses import dataclass

from torch import nn

from lstm.checkpoints.tensors import taken
from lstm.tasks.forecast import ForecastTask
from lstm.training.job import Job
from lstm.training.start import plan_of
from lstm.training.written_by import check_same, check_trained, is_same, job_of, task_of
from lstm.windows import Plan
from storage.checkpoints import Commit, CommitMissing, Repository

BEST = "best"
"""Names the commit with the lowest validation loss, wherever a commit's id is asked for."""


@dataclass(frozen=True, slots=True)
class Trained:
    """One commit's model with everything that gives its inputs a meaning."""

    commit: Commit
    job: Job
    task: ForecastTask
    model: nn.Module
    """In evaluation mode; the moving average of the weights where the run kept one."""
    plan: Plan


def load_trained(repository: Repository, run: str, commit: str = BEST) -> Trained:
    """Restore the model of `commit`: an id, a tag, `newest` or `best`.

    Raises:
        RunMissing, CommitMissing, Damaged: it is not there, or not whole.
        OtherVersion: this Carousel builds another model for its settings.
        NotTrained: it was imported.
    """
    identity = best_commit(repository, run).id if commit == BEST else commit
    about = repository.restore(run, identity, names=())
    place = f"{run}/{about.commit.id}"
    job, task = job_of(about.meta, place), task_of(about.meta, place)
    model = task.build_model()
    if not is_same(about.meta, model):
        check_same(model, repository.restore(run, about.commit.id).tensors, about.meta, place)
    prefix = "average/module." if job.training.ema_decay and about.commit.step else "model/"
    names = {f"{prefix}{name}" for name in model.state_dict()}
    restored = repository.restore(run, about.commit.id, names=names | {"plan"})
    model.load_state_dict({name.removeprefix(prefix): taken(restored.tensors[name]) for name in names})
    return Trained(restored.commit, job, task, model.eval(), plan_of(restored))


def best_commit(repository: Repository, run: str) -> Commit:
    """The undamaged commit with the lowest validation loss; the first of equals.

    Raises:
        RunMissing: no such run.
        CommitMissing: none of its commits has been validated.
        NotTrained: the run was imported.
    """
    commits = [commit for commit in repository.commits(run) if not commit.damaged]
    validated = [c for c in commits if math.isfinite(c.metrics.get("validation_loss", math.nan))]
    if not validated:
        if commits:
            newest = max(commits, key=lambda commit: commit.step)
            check_trained(repository.restore(run, newest.id, names=()).meta, f"{run}/{newest.id}")
        raise CommitMissing(
            f"run {run!r} has {len(commits)} commits and none has been validated; "
            "train it further, or name a commit by its id"
        )
    return min(validated, key=lambda commit: (commit.metrics["validation_loss"], commit.step))
