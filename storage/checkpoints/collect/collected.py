"""What a collection did, or would do: numbers for whoever runs it."""

from dataclasses import dataclass, field
from enum import StrEnum

from storage.checkpoints.format.names import Kind, object_key


class Ending(StrEnum):
    """How a collection ended."""

    FINISHED = "finished"
    NOTHING_TO_DO = "nothing to do: everything is named by a commit"
    DRY_RUN = "dry run: nothing was changed"
    ANOTHER_COLLECTS = "stopped: another collection has begun meanwhile, and nothing was deleted by this one"


@dataclass(slots=True)
class Tally:
    """A number of objects and their bytes."""

    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one more."""
        self.objects += 1
        self.bytes += size


@dataclass(frozen=True, slots=True)
class Doomed:
    """An object that nothing names."""

    kind: Kind
    run: str
    """"" for a pack."""
    name: str
    size: int
    """Bytes."""

    @property
    def key(self) -> str:
        """Below the repository's prefix."""
        return object_key(self.kind, self.run, self.name)


@dataclass(kw_only=True, slots=True)
class Collected:
    """What a collection did, or would do."""

    number: int = 0
    """Of the list it wrote; 0: none."""
    ending: Ending = Ending.FINISHED
    runs: int = 0
    manifests_read: int = 0
    listed: Tally = field(default_factory=Tally)
    """All packs, manifests and pages."""
    condemned: Tally = field(default_factory=Tally)
    """Named by nothing, and older than the newest collection."""
    kept: Tally = field(default_factory=Tally)
    """Condemned, but a head came to name them before it was rewritten."""
    deleted: Tally = field(default_factory=Tally)
    young: Tally = field(default_factory=Tally)
    """Named by nothing, but perhaps of a save that is under way: the next collection may take them."""
    left: Tally = field(default_factory=Tally)
    """Could be condemned too, but a list holds no more: collect again."""
    probes: Tally = field(default_factory=Tally)
    """What writers without the right to delete have left of trying out the server; it was deleted."""
    unreadable: str | None = None
    """Why the newest list of before cannot be read: then a newer one is begun even for nothing."""
    strangers: int = 0
    """Objects whose keys no writer would choose; never touched."""
    doomed: tuple[Doomed, ...] = ()
    """What is condemned, in full."""
