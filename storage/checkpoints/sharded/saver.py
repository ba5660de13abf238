"""Save together: the leader asks, orders and commits, the others answer until it lets them go."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from storage.checkpoints.errors import HelperFailed
from storage.checkpoints.format.canonical import loads
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.sharded.group import LEADER, Group
from storage.checkpoints.sharded.layout import held_in
from storage.checkpoints.sharded.leader import Leader
from storage.checkpoints.sharded.messages import Hashes, Order, Plan, Report, said
from storage.checkpoints.sharded.owner import Owner
from storage.checkpoints.sharded.shard import Shard
from storage.checkpoints.together.orders import Answer


class ShardedSaver:
    """One rank's, for all saves of a run; the same calls on all ranks."""

    def __init__(
        self,
        shelf: Shelf,
        group: Group,
        *,
        keeps: bool = True,
        encoders: int | None = None,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            shelf: of the repository.
            group: all ranks that save.
            keeps: whether this rank keeps a copy of the chunks that it stores, so that the next save may
                store differences.
            encoders: threads that encode; None: one for each core, four at most.
        """
        self._group = group
        self._owner = Owner(shelf, group, keeps=keeps and shelf.format > 1, encoders=encoders)
        self._leader: Leader | None = None

    def lead(
        self,
        writer: RunWriter,
        shards: Sequence[Shard],
        values: Mapping[str, Any],
        *,
        step: int,
        meta: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        tags: Sequence[str] = (),
        error: Exception | None = None,
    ) -> Commit:
        """Commit a state, on rank 0, while the other ranks `follow`.

        Args:
            writer: commits.
            shards: what this rank holds; must not change until this returns.
            values: JSON-able.
            step, tags: of the commit.
            meta: makes the commit's meta of the values of all ranks.
            error: why this rank cannot take part, raised on all ranks.

        Raises:
            HelperFailed: another rank could not do its part.
            ValueError: shards that do not make up the tensors.
            Whatever `RunWriter.save` does.
        """
        if self._leader is None or self._leader.writer is not writer:
            self._leader = Leader(writer, self._group, self._owner)
        return self._leader.save(shards, values, step=step, meta=meta, tags=tags, error=error)

    def follow(
        self, shards: Sequence[Shard], values: Mapping[str, Any], error: Exception | None = None
    ) -> None:
        """Do another rank's part of `lead`; returns once rank 0 has committed.

        Raises:
            `error`; what this rank's part has failed of; HelperFailed: what another one's has.
        """
        try:
            self._follow(shards, values, error)
        finally:
            self._owner.end()

    def _follow(self, shards: Sequence[Shard], values: Mapping[str, Any], error: Exception | None) -> None:
        group = self._group
        try:
            report = Report(held_in(shards, 0), values, "" if error is None else said(error)).to_bytes()
        except Exception as mistake:  # noqa: BLE001 - raised below, after the leader knows
            error, report = error or mistake, Report({}, {}, said(error or mistake)).to_bytes()
        group.send(LEADER, report)
        plan = Plan.from_bytes(group.receive(LEADER))
        if error is not None:
            raise error
        if plan.error:
            raise HelperFailed(plan.error)
        failed: Exception | None = None
        try:
            hashes = self._owner.begin(shards, plan)
        except Exception as mistake:  # noqa: BLE001 - raised below, after the leader knows
            failed, hashes = mistake, Hashes(error=said(mistake))
        group.send(LEADER, hashes.to_bytes())
        while message := group.receive(LEADER):
            value = loads(message, "a message of the leader")
            if "error" in value:
                raise failed or HelperFailed(str(value["error"]))
            try:
                answer = Answer(stored=self._owner.carry_out(Order.from_bytes(message)))
            except Exception as mistake:  # noqa: BLE001 - raised below, after the leader knows
                failed, answer = mistake, Answer.of(mistake)
            group.send(LEADER, answer.to_bytes())
