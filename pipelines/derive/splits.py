"""The shares of validation and test: 15% each, more where a horizon needs it, no test in a short history."""

import math

from lstm.windows.spec import SplitSpec
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive
from pipelines.derive.rhythm import Rhythm

_USUAL = 0.15
_MOST = 0.3
"""Share of a history that one split may take."""


def choose_splits(rhythm: Rhythm, horizon: int, reasons: Reasons) -> SplitSpec:
    """Shares of the table's span of time such that each split holds whole horizons.

    Raises:
        CannotDerive: the span holds too few horizons for training and validation.
    """
    need = horizon + max(1, horizon // 4)
    share = max(_USUAL, math.ceil(1000 * need / rhythm.span) / 1000)
    say = f"a horizon is {horizon} of {rhythm.span:,} sampling times"
    if share <= _MOST:
        why = f"the usual {share:.0%} of the time" if share == _USUAL else f"as much as horizons need: {say}"
        reasons.add("split.validation", why)
        reasons.add("split.test", f"{why}, the newest of all")
        return SplitSpec(validation=share, test=share)
    if share <= 0.5:
        reasons.add("split.validation", f"as much as horizons need: {say}")
        reasons.add("split.test", f"dropped: {say}, too few for a test beside training and validation")
        reasons.remark("no test split: `carousel evaluate` will have nothing to measure")
        return SplitSpec(validation=share, test=0.0)
    raise CannotDerive(
        f"{say}: too few for a horizon each in training and validation; choose a --horizon of at most "
        f"{max(1, rhythm.span // 4)}, or ingest more rows"
    )
