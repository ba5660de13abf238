"""Save a state of which each rank holds other parts: no rank ever holds it whole.

A *shard* is the box of a tensor that a rank holds. Chunks are cut on the whole tensor, as ever, so a chunk
may lie in several shards: then one of its *holders*, its *owner*, gets the pieces from the others, hashes and
stores it. Rank 0, the *leader*, decides what is stored, and commits; it sees ids of chunks, not bytes.

Why it is so: docs/decisions/008-owners-store-shards.md
"""

from storage.checkpoints.sharded.boxes import Box
from storage.checkpoints.sharded.group import LEADER, Group
from storage.checkpoints.sharded.saver import ShardedSaver
from storage.checkpoints.sharded.shard import ArrayShard, Shard, joined

__all__ = ["LEADER", "ArrayShard", "Box", "Group", "Shard", "ShardedSaver", "joined"]
