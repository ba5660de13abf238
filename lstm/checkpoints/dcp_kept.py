"""What a `CarouselWriter` keeps from one save to the next, in the process that saves.

With `AsyncCheckpointerType.PROCESS`, PyTorch sends the writer pickled to a process of its own, again for each
save. What is kept does not travel: it stays there under the writer's name, so that the next copy finds it.
"""

from dataclasses import dataclass

from lstm.checkpoints.dcp_roll_call import RollCall
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.sharded import ShardedSaver


@dataclass(slots=True)
class Kept:
    """Of one writer."""

    writer: RunWriter | None = None
    """On the rank that has led a save: the run, with the state that was saved last."""
    roll_call: RollCall | None = None
    saver: ShardedSaver | None = None
    """Where ranks save together: with the chunks that this one has stored."""
    leader: int = -1
    """The rank that `saver` follows."""


AT_MOST = 4
"""Writers of which a process keeps something: what a training uses, as each may keep a whole state."""

_kept: dict[str, Kept] = {}


def kept_here(name: str) -> Kept:
    """What earlier copies of this writer have left in this process; empty for the first one."""
    kept = _kept.pop(name) if name in _kept else Kept()
    _kept[name] = kept  # at the end: the first one is the oldest
    while len(_kept) > AT_MOST:
        del _kept[next(iter(_kept))]
    return kept
