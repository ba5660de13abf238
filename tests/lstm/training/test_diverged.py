"""Training that diverges ends with one message, and its checkpoints stay whole."""

import math
from collections.abc import Callable

import pytest

from lstm.training import launch
from lstm.training.config import TrainingConfig
from lstm.training.diverged import Diverged, check_finite
from lstm.training.job import Job
from storage.errors import UserError

from .one_rank import run_it_here
from .runner import Runner


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(value):
    check_finite("loss", 1e300, 7, TrainingConfig())
    with pytest.raises(Diverged, match=f"loss after step 7 is {value}.*training.learning_rate \\(0.002\\)"):
        check_finite("loss", value, 7, TrainingConfig())


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoints(
    runner: Runner, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks, which both see it, say so once: test_saving_together.py."""
    monkeypatch.setattr(launch, "_torchrun", run_it_here)
    job = make_job("diverging", ranks=1, learning_rate=1e30, warmup_steps=0, checkpoint_every=1000)
    with pytest.raises(UserError, match=r"training has diverged .* Lower training.learning_rate"):
        runner.launch(job)
    (commit,) = runner.repository(job).commits(job.run)
    assert commit.step == 0
    assert not commit.damaged
