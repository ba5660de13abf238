"""What a verification has looked at, and what is wrong."""

from dataclasses import dataclass, field

TOLD = 1000
"""Findings that a report holds; it counts all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    run: str
    """"" for what concerns the whole repository."""
    commit: str
    """Its id; "" for what concerns the whole run."""
    step: int | None
    what: str
    """Plain words."""


@dataclass(kw_only=True, slots=True)
class Report:
    """What was looked at, and what is wrong."""

    runs: int = 0
    commits: int = 0
    marked: int = 0
    """Commits that were marked as damaged before: no findings by themselves."""
    chunks: int = 0
    """Whose bytes were checked."""
    bytes_read: int = 0
    """Of packs."""
    collections: int = 0
    findings: list[Finding] = field(default_factory=list)
    """The first `TOLD`."""
    locked: bool = False
    """It is encrypted, and without its key only heads, packs and their sizes were looked at."""
    found: int = 0
    """All findings."""
    unreferenced: int = 0
    """Packs, manifests and pages that no head names: dropped, or of saves under way or killed."""
    unreferenced_bytes: int = 0
    remarks: list[str] = field(default_factory=list)
    """Old lists of collections that are lost or cannot be read: no checkpoint and no save needs them."""
    strangers: list[str] = field(default_factory=list)
    """Keys that no writer would choose: not harmful, but not ours."""

    @property
    def intact(self) -> bool:
        """Whether every commit that is not marked as damaged can be restored, as far as was looked."""
        return self.found == 0
