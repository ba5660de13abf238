"""A commit of another model, or of another Carousel's settings, is told in words, with what to do."""

from dataclasses import replace

import numpy as np
import pytest

from lstm.tasks.forecast import ForecastTask
from lstm.training.start import begin
from lstm.training.trained import load_trained
from lstm.training.written_by import NotTrained, OtherVersion, check_same, job_of
from storage.checkpoints import Repository, RunWriter, Tensor
from storage.objects import Bucket


@pytest.fixture
def begun(lake, make_job, request):
    """A run with its first commit."""
    job = make_job(request.node.name.replace("[", "-").replace("]", ""))
    repository = Repository.create(Bucket(job.bucket, lake.access), job.repository)
    start = begin(job, lake, lake, repository, attempt="a", resume=False)
    return job, repository, start


def changed_model(monkeypatch, **settings):
    """As if this Carousel built another model for the same settings."""
    build = ForecastTask.build_model

    def other(task):
        kept, task.config = task.config, replace(task.config, **settings)
        try:
            return build(task)
        finally:
            task.config = kept

    monkeypatch.setattr(ForecastTask, "build_model", other)


def test_a_commit_of_this_carousel_is_loaded(begun):
    job, repository, start = begun
    assert load_trained(repository, job.run, start.commit).job == job
    assert repository.restore(job.run, names=()).meta["written_by"]["carousel"]


@pytest.mark.parametrize("commit", ["best", "newest"])
def test_an_imported_commit_is_told_as_such_with_what_can_be_done(commit, begun):
    _, repository, _ = begun
    tensors = {"w": Tensor.from_numpy(np.zeros((40, 40), np.float32))}
    RunWriter.create(repository, f"imported-{commit}", "import-1").save(tensors, {"source": "a file"}, step=0)
    with pytest.raises(NotTrained, match=r"was imported.*cannot be resumed.*`export`"):
        load_trained(repository, f"imported-{commit}", commit)
    with pytest.raises(NotTrained, match="imported/1234 was imported"):
        job_of({"source": "a file"}, "imported/1234")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden": 12}, ("in other shapes", " there, ", " now)")),
        ({"layers": 3}, ("it lacks ", " and ")),
        ({"shortcut": False}, ("it also has ", "shortcut")),
    ],
)
def test_another_model_is_told_with_what_differs(settings, says, begun, monkeypatch):
    job, repository, start = begun
    changed_model(monkeypatch, **settings)
    with pytest.raises(OtherVersion) as told:
        load_trained(repository, job.run, start.commit)
    for word in (*says, f"{job.run}/{start.commit}", f"hidden {job.forecast.hidden}", "train a new run"):
        assert word in str(told.value)
    restored = repository.restore(job.run)
    model = ForecastTask.from_state(restored.meta["task"]).build_model()
    with pytest.raises(OtherVersion, match="holds another model"):
        check_same(model, restored.tensors, restored.meta, "run/id")


def test_a_commit_that_does_not_say_who_wrote_it_is_compared_all_the_same(begun, monkeypatch):
    job, repository, start = begun
    restored = repository.restore(job.run)
    meta = {name: value for name, value in restored.meta.items() if name != "written_by"}
    old = start.writer.save(restored.tensors, meta, step=1)
    assert load_trained(repository, job.run, old.id).commit.id == old.id
    changed_model(monkeypatch, layers=3)
    with pytest.raises(OtherVersion, match="an earlier Carousel, which did not note its version"):
        load_trained(repository, job.run, old.id)


def test_settings_that_are_not_known_here_are_told(begun):
    job, repository, start = begun
    restored = repository.restore(job.run)
    forecast = {**restored.meta["job"]["forecast"], "attention": True}
    meta = {
        **restored.meta,
        "job": {**restored.meta["job"], "forecast": forecast},
        "written_by": {"carousel": "9.0.0", "model": ""},
    }
    new = start.writer.save(restored.tensors, meta, step=1)
    with pytest.raises(OtherVersion, match=r"'attention'; it was written by Carousel 9\.0\.0, and this is"):
        load_trained(repository, job.run, new.id)
