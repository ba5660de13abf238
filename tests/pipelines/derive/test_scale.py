"""The scale follows what the target looks like."""

import numpy as np
import pytest

from pipelines.derive.reasons import Reasons
from pipelines.derive.sample import Sample
from pipelines.derive.scale import choose_scale


def sample(*runs: np.ndarray) -> Sample:
    values = np.concatenate(runs).astype(np.float32)[:, None]
    numbers = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    return Sample(("y",), values, np.arange(len(values)), numbers, len(values))


WAVE = np.sin(np.arange(100)) + 2


@pytest.mark.parametrize(
    ("runs", "scale", "says"),
    [
        ([WAVE], "linear", "around its mean"),
        ([WAVE * factor for factor in (1, 2, 3, 2, 1, 4)], "linear", "around its mean"),
        ([WAVE * 10.0**power for power in range(6)], "window", "levels from about"),
        ([WAVE, WAVE * 1e6], "linear", "around its mean"),  # two series say nothing about series
        ([np.where(np.arange(100) % 3 == 0, 0.0, 5.0)], "asinh", "34% of the target are exactly 0"),
        ([np.full(50, np.nan)], "linear", "around its mean"),
    ],
)
def test_the_scale_is_chosen_with_its_reason(runs, scale, says):
    reasons = Reasons()
    assert choose_scale("y", sample(*runs), reasons) == scale
    assert says in reasons.by_key["forecast.scale"]
