"""(Signatures first.) Mean and standard deviation of every feature, from training rows only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from lstm.windows.plan import Plan
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True)
class Scaling:
    """Per feature: mean and population standard deviation of the known values before the training boundary."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    count: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats as hexadecimal text, exact to the bit."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        raise NotImplementedError


def fit_scaling(snapshot: Snapshot, plan: Plan, columns: Sequence[str]) -> Scaling:
    """Measure training rows row group by row group, merged in plan order in float64."""
    raise NotImplementedError
