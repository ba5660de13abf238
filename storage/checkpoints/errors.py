"""What can go wrong with a repository, grouped by what the caller would do."""

from storage.errors import UserError


class CheckpointError(UserError):
    """Root of everything that this package raises on purpose."""


class RepositoryMissing(CheckpointError):
    """There is no repository at this prefix. Create it, or correct the prefix."""


class UnsupportedRepository(CheckpointError):
    """Another version of the format, or an encryption, that this program cannot read."""


class WrongKey(CheckpointError):
    """The repository is encrypted, and the key that was given does not open it, or none was given."""


class InvalidName(CheckpointError):
    """A run, attempt or tensor has a name that a repository cannot hold."""


class RunExists(CheckpointError):
    """The run is there already. Take it over, or choose another name."""


class SameRepository(CheckpointError):
    """A repository cannot be copied onto itself. Name another one."""


class FileTrouble(CheckpointError):
    """A file of this host is there already, or cannot be read or written."""


class RunMissing(CheckpointError):
    """The repository has no such run."""


class HeadLost(RunMissing):
    """The run has checkpoints, and no head that names them. Repair it, or choose another one."""


class NothingToRepair(CheckpointError):
    """The run's head is in order, or somebody else has mended it meanwhile."""


class CommitMissing(CheckpointError):
    """The run has no such commit (any more), or none that is complete."""


class CommitPinned(CheckpointError):
    """Somebody has pinned this commit. Unpin it, or leave it."""


class Damaged(CheckpointError):
    """Bytes of the repository are missing or are not what they must be."""


class HeadUnreadable(Damaged):
    """A run's head is there and is none, or not a whole one. Repair it, or choose another run."""


class TooLarge(CheckpointError):
    """More than a limit of the format or this host's memory allows."""


class InexactArithmetic(CheckpointError):
    """This thread does not compute as IEEE 754 says. Its message says how it would."""


class TakenOver(CheckpointError):
    """Another attempt trains this run now: this trainer must stop."""


class CommitFailed(CheckpointError):
    """The head could not be changed, however often it was tried. Earlier commits are safe."""


class NotDurable(CheckpointError):
    """A save has not reached the bucket in time. What is not in the spool either is told."""


class SaveDropped(CheckpointError):
    """A save made room for newer ones before it could reach the bucket."""


class SavingEnded(CheckpointError):
    """The background writer is closed, or has ended by a fault. Make a new one to save again."""


class HelperFailed(CheckpointError):
    """Another rank could not store its share of a state. Its message says why."""


class RankGone(Exception):
    """The process at the other end of a channel has ended, or cannot be reached any more."""
