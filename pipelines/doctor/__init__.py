"""Is everything here that a run needs? One file per group of checks; each says what it saw and what to do."""

from pipelines.doctor.case import Case
from pipelines.doctor.examination import examine
from pipelines.doctor.finding import Finding, Outcome

__all__ = ["Case", "Finding", "Outcome", "examine"]
