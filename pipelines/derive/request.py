"""What a user says about the run that is to be derived; everything that is None is chosen."""

from dataclasses import dataclass

from storage.errors import UserError

MINUTES = 3.0
"""Training time where nobody says another."""


class CannotDerive(UserError):
    """The table does not say what is needed, or cannot serve; the message says what would help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Wishes for one run."""

    time: str | None = None
    """Column that orders the rows of a series."""
    entity: str | None = None
    """Column that tells series apart; "" says that there is none."""
    target: str | None = None
    """Column to forecast."""
    past: tuple[str, ...] | None = None
    """Further columns that the model sees; () says none."""
    horizon: int | None = None
    """Rows to forecast."""
    minutes: float | None = None
    """How long training may take, from its first step on; None: `MINUTES`."""
    timezone: str | None = None
    """Whose clock and week the series follow; None: UTC."""

    def __post_init__(self) -> None:
        if self.horizon is not None and self.horizon < 1:
            raise CannotDerive(f"--horizon must be at least 1 row, got {self.horizon}")
        if not 0 < self.budget <= 60 * 24 * 30:
            raise CannotDerive(f"--minutes must be above 0 and at most a month, got {self.budget:g}")

    @property
    def budget(self) -> float:
        """Minutes of training."""
        return MINUTES if self.minutes is None else self.minutes
