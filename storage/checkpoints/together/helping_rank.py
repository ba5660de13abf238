"""A helper's side of saving together: it holds the newest states, and stores the shares that rank 0 orders.

A helper finds chunks by the hash of its own bytes. So one whose replica differs stores less than it was asked
for, and never other bytes under the same name.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.checkpoints.background.niceness import give_way
from storage.checkpoints.background.slots import HostSlot
from storage.checkpoints.errors import RankGone
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.repository import Repository
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.predicting import Predictor, Previous
from storage.checkpoints.save.storing import Stored, store_alone
from storage.checkpoints.tensor import Tensor
from storage.checkpoints.together.leader import LEADER, Channel
from storage.checkpoints.together.orders import Answer, Order


@dataclass(eq=False, slots=True)
class _Held:
    """One state that rank 0 may ask for."""

    step: int
    tensors: Mapping[str, Tensor]
    hints: Sequence[AdamHint]
    slot: HostSlot | None
    """The memory that it occupies; None: its own."""
    draft: Draft | None = None
    """Once it was needed."""


class Helper:
    """A rank that stores shares of states beside training. Methods belong to the training thread."""

    def __init__(
        self,
        repository: Repository,
        channel: Channel,
        begin: tuple[int, Mapping[str, Tensor]],
        *,
        in_flight: int = 2,
        state_bytes: int = 0,
        encoders: int = 1,
        niceness: int = 5,
    ) -> None:
        """Start the thread.

        Args:
            repository: where; rank 0 has made sure that its server can be written to.
            channel: to rank 0.
            begin: step and tensors of the commit that training starts from: the first save rests on it.
            in_flight: saves that rank 0 holds in memory at most.
            state_bytes, encoders, niceness: as of `BackgroundWriter`.
        """
        self._shelf, self._channel = repository.shelf, channel
        self._encoders, self._niceness, self._state_bytes = encoders, niceness, state_bytes
        self._most = in_flight + 2  # those, the one that they rest on, and one that rank 0 is yet to take
        self._changed = threading.Condition()
        self._held = [_Held(*begin, hints=(), slot=None)]
        self._busy: list[_Held] = []
        self._free: list[HostSlot] = []
        self.failed: BaseException | None = None
        """What has ended the thread, if it should not have."""
        self._thread = threading.Thread(target=self._guard, daemon=True)
        self._thread.start()

    def hold(self, state: Mapping[str, Tensor], *, step: int, hints: Sequence[AdamHint] = ()) -> None:
        """Take a copy of `state`, of which rank 0 may order a share; it may change when this returns.

        Where too many are held, as in an outage, the oldest goes: rank 0 then stores it alone.
        """
        with self._changed:
            idle = [it for it in self._held if it not in self._busy]
            for old in idle[: max(0, len(self._held) + 1 - self._most)]:
                self._drop(old)
            slot = self._free.pop() if self._free else HostSlot()
        copy = _Held(step, slot.copy(state), hints, slot)
        with self._changed:
            self._held.append(copy)
            self._changed.notify_all()

    def close(self) -> None:
        """Return once rank 0 has dismissed this helper, or has ended."""
        self._thread.join()

    def _guard(self) -> None:
        try:
            give_way(self._niceness)
            if self._state_bytes:
                slot = HostSlot()
                slot.reserve(self._state_bytes + self._state_bytes // 16)
                with self._changed:
                    self._free.append(slot)
            self._serve()
        except RankGone:
            pass  # training meets the same end, and tells of it
        except BaseException as error:  # noqa: BLE001 - told by the training thread
            self.failed = error

    def _serve(self) -> None:
        while message := self._channel.receive(LEADER):
            try:
                answer = Answer(stored=self._carry_out(Order.from_bytes(message)))
            except Exception as error:  # noqa: BLE001 - raised by rank 0
                answer = Answer.of(error)
            self._channel.send(LEADER, answer.to_bytes())

    def _carry_out(self, order: Order) -> Stored:
        now, before = self._take(order)
        try:
            if now is None:
                return Stored({}, {})
            draft = self._draft_of(now)
            predictor = Predictor(draft, tuple(now.hints), None if before is None else self._previous(before))
            return store_alone(
                self._shelf,
                draft,
                predictor,
                [chunk for chunk in order.chunks if chunk in draft.chunks],
                order.chains,
                generation=order.generation,
                encoders=self._encoders,
            )
        finally:
            self._give_back(order)

    def _take(self, order: Order) -> tuple[_Held | None, _Held | None]:
        """The states that an order is about, kept until `_give_back`."""
        with self._changed:
            # All ranks commit at the same steps, so this one comes there too, if it was not there before.
            self._changed.wait_for(lambda: self._held and self._held[-1].step >= order.step)
            by_step = {held.step: held for held in self._held}
            now = by_step.get(order.step)
            before = None if order.before is None else by_step.get(order.before)
            self._busy = [it for it in (now, before) if it is not None]
            return now, before

    def _give_back(self, order: Order) -> None:
        """States older than this order's are of no more use: rank 0 saves in order."""
        with self._changed:
            self._busy = []
            for old in [it for it in self._held if it.step < order.step]:
                self._drop(old)

    def _drop(self, held: _Held) -> None:
        self._held.remove(held)
        if held.slot is not None:
            self._free.append(held.slot)

    def _draft_of(self, held: _Held) -> Draft:
        if held.draft is None:
            held.draft = Draft.of(held.tensors, {}, held.step, self._shelf.identity)
        return held.draft

    def _previous(self, held: _Held) -> Previous:
        draft = self._draft_of(held)
        raw = {chunk: view for chunk, (_, view) in draft.chunks.items()}
        hints = {hint.weight: hint for hint in held.hints}
        return Previous(draft.step, draft.tensors, raw, hints, read_bytes=0, grown=0)
