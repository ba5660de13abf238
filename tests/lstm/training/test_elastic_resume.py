"""A run that goes on with another number of ranks trains on exactly the windows that are left."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lstm.training.job import Job

from . import recording_worker
from .runner import Runner

pytestmark = pytest.mark.timeout(900)  # a dozen launches, on a machine that may be busy

BATCH = 32


def windows(trace: Path, attempt: str) -> dict[int, Counter[tuple[int, int]]]:
    """The windows of each batch of the first epoch that an attempt trained on, over all its ranks."""
    batches: dict[int, Counter[tuple[int, int]]] = {}
    for part in trace.glob(f"{attempt}.*"):
        for line in part.read_text().splitlines():
            epoch, index, found = json.loads(line)
            if epoch == 0:
                batches.setdefault(index, Counter()).update((series, start) for series, start in found)
    return batches


@pytest.mark.slow  # `make test-resume`, and so CI
@pytest.mark.parametrize("ranks", [1, 3])
def test_two_ranks_resumed_as_others_see_each_window_of_the_epoch_once(
    runner: Runner, make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    monkeypatch.setenv(recording_worker.TRACE, str(tmp_path))
    runner.worker = recording_worker.__name__
    job = make_job(f"from-2-to-{ranks}")

    runner.killed_when_durable(job, 8, 1)
    committed = runner.repository(job).restore(job.run, names=())
    consumed = committed.meta["cursor"]["samples_consumed"]
    assert consumed == committed.commit.step * BATCH >= 8 * BATCH
    assert committed.meta["cursor"]["epoch"] == 0  # in the middle of it
    runner.launch(job.with_ranks(ranks))

    before, after = windows(tmp_path, f"{job.run}-1"), windows(tmp_path, f"{job.run}-2")
    first = consumed // BATCH
    assert min(after) == first
    epoch = sum((before[k] for k in range(first)), Counter()) + sum(after.values(), Counter())
    assert epoch == Counter(dict.fromkeys(epoch, 1))
    assert epoch.total() == committed.meta["windows"]["train"]
