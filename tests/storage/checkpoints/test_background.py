"""Saving beside training: in order, from copies, in bounded memory, and no failure is swallowed."""

import os
import sys
import threading
from random import Random
from typing import Any

import numpy as np
import pytest

from storage.checkpoints import (
    BackgroundWriter,
    Commit,
    HostSlot,
    InvalidName,
    NotDurable,
    Repository,
    Retention,
    RunWriter,
    SaveDropped,
    SavingEnded,
    Spool,
    TakenOver,
    Tensor,
)
from storage.checkpoints.background import backlog
from storage.checkpoints.save import packs
from storage.objects import Unreachable

from .collector import PREFIX
from .fake_store import FakeStore, Fault, Request
from .states import begun, repository, state

FIVE = ["five"]


class Gate:
    """Holds back the first pack that a store is given until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.patience_s = 60.0

    def __call__(self, request: Request) -> Fault | None:
        if "/packs/" in request.key and request.verb == "put" and not self.reached.is_set():
            self.reached.set()
            self.opened.wait(self.patience_s)
        return None


def saver_of(writer: RunWriter, **options: Any) -> BackgroundWriter[Tensor]:
    """Gives way to nobody, so that a test takes no longer where others work too."""
    return BackgroundWriter(writer, **{"niceness": 0, **options})


def gated() -> tuple[Gate, FakeStore, RunWriter]:
    """A run with a commit of step 0 whose next pack is held back."""
    store = FakeStore()
    writer = begun(store)
    store.fault = gate = Gate()
    return gate, store, writer


def test_what_on_durable_raises_does_not_undo_the_save_and_is_raised_by_the_next_call():
    writer = begun(FakeStore())

    def told(commit: Commit) -> None:
        if commit.step == 1:
            raise RuntimeError("the dashboard is gone")

    saver = saver_of(writer, on_durable=told)
    first = saver.save(state(w=1), {}, step=1)
    assert first.result(timeout=60).step == 1
    with pytest.raises(RuntimeError, match="dashboard"):
        saver.wait()
    assert saver.durable_step == 1
    assert saver.save(state(w=2), {}, step=2).result(timeout=60).step == 2
    saver.close()
    assert [it.step for it in writer.repository.commits("run")] == [0, 1, 2]


def test_what_is_committed_is_the_state_at_the_call_whatever_training_does_then():
    gate, store, writer = gated()
    weights = np.zeros((8, 64), np.float32)
    meta = {"step": 1}
    with saver_of(writer) as saver:
        saver.save({"w": Tensor.from_numpy(weights)}, meta, step=1)
        weights += 1
        meta["step"] = 2
        gate.opened.set()
    restored = repository(store).restore("run")
    assert restored.meta == {"step": 1}
    assert not restored.tensors["w"].to_numpy().any()


def test_saves_land_in_order_with_what_they_were_given():
    store = FakeStore()
    writer = begun(store)
    durable: list[int] = []
    with saver_of(writer, on_durable=lambda commit: durable.append(commit.step)) as saver:
        assert saver.durable_step is None
        for step in range(1, 6):
            saver.save(
                state(w=step), {}, step=step, metrics={"loss": step / 2}, tags=FIVE if step == 5 else ()
            )
        last = saver.save(state(w=6), {}, step=6, retain=Retention(last=2))
        saver.wait()
        assert (saver.durable_step, last.result().step) == (6, 6)
    assert durable == [1, 2, 3, 4, 5, 6]
    commits = repository(store).commits("run")
    assert [(commit.step, commit.tags) for commit in commits] == [(0, ()), (5, ("five",)), (6, ())]
    assert commits[1].metrics == {"loss": 2.5}


def test_every_commit_holds_its_own_state_though_memory_is_used_again():
    """Also what a writer keeps of one save for the next one must not be the memory of a slot."""
    store = FakeStore()
    weights = np.zeros((300, 1024), np.float32)  # more than a chunk
    random = np.random.default_rng(0)
    expected: dict[str, bytes] = {}
    with saver_of(begun(store), in_flight=2) as saver:
        for step in range(1, 6):
            weights[:, : 100 * step] += random.standard_normal((300, 100 * step), np.float32) * 1e-3
            now = weights.tobytes()
            saver.save({"w": Tensor.from_numpy(weights)}, {}, step=step).add_done_callback(
                lambda done, now=now: expected.update({done.result().id: now})
            )
    restored = {it: bytes(repository(store).restore("run", it).tensors["w"].data) for it in expected}
    assert len(expected) == 5
    assert restored == expected


@pytest.mark.parametrize("seed", range(3))
def test_through_many_short_outages_all_arrive_in_order(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(backlog, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(backlog, "_LONGEST_WAIT_S", 0.002)
    store, random = FakeStore(), Random(seed)
    writer = begun(store)
    spool = Spool(tmp_path, "run", 2**20)
    out = False

    def fault(request: Request) -> Fault | None:
        nonlocal out
        out = random.random() < (0.9 if out else 0.15)
        lost = random.choice([Fault.NEVER_ARRIVED, Fault.ANSWER_LOST])
        return lost if out and request.verb != "list" else None

    store.fault = fault
    with saver_of(writer, in_flight=2, spool=spool) as saver:
        for step in range(1, 40):
            saver.save(state(w=step, m=step // 5), {"step": step}, step=step)
        saver.wait(600)
    store.fault = lambda request: None
    commits = repository(store).commits("run")
    assert [commit.step for commit in commits] == list(range(40))
    for commit in commits[1:]:
        restored = repository(store).restore("run", commit.id)
        assert restored.tensors == state(w=commit.step, m=commit.step // 5)
    assert spool.entries() == []


def test_when_enough_saves_are_in_memory_the_next_one_waits():
    gate, _, writer = gated()
    told: list[str] = []
    gate.patience_s = 0.3  # the third save cannot return before; if it did, it would come first
    with saver_of(writer, in_flight=2, on_durable=lambda it: told.append(f"durable {it.step}")) as saver:
        saver.save(state(w=1), {}, step=1)
        assert gate.reached.wait(600)
        saver.save(state(w=2), {}, step=2)
        saver.save(state(w=3), {}, step=3)
        told.append("third save returned")
        gate.opened.set()
    assert told.index("durable 1") < told.index("third save returned")


def test_no_more_memory_is_taken_than_for_the_saves_in_flight():
    made: list[HostSlot] = []

    def counted() -> HostSlot:
        made.append(HostSlot())
        return made[-1]

    with saver_of(begun(FakeStore()), in_flight=2, new_slot=counted) as saver:
        for step in range(1, 12):
            saver.save(state(w=step), {}, step=step)
    assert len(made) <= 2


def test_memory_for_a_state_of_known_size_is_ready_before_the_first_save():
    ready, first = threading.Event(), HostSlot()
    made = [first]

    class Later(HostSlot):
        """What is made when no slot is free."""

    def new_slot() -> HostSlot:
        return made.pop() if made else Later()

    reserve = first.reserve

    def told(size: int) -> None:
        reserve(size)
        ready.set()

    first.reserve = told
    with saver_of(begun(FakeStore()), state_bytes=10_000, new_slot=new_slot) as saver:
        assert ready.wait(600)
        size = first._memory.size
        saver.save(state(w=1), {}, step=1)
    assert size >= 10_000
    assert first._memory.size == size


def test_a_failure_is_raised_by_the_next_save_once_and_saving_goes_on():
    store = FakeStore()
    with saver_of(begun(store)) as saver:
        refused = saver.save({"a//b": state(w=1)["w"]}, {}, step=1)
        assert isinstance(refused.exception(60), InvalidName)
        assert isinstance(saver.failed, InvalidName)
        with pytest.raises(InvalidName):
            saver.save(state(w=2), {}, step=2)
        saver.check()
        saver.save(state(w=3), {}, step=3)
    assert [commit.step for commit in repository(store).commits("run")] == [0, 3]


@pytest.mark.parametrize("method", ["check", "wait", "close"])
def test_a_failure_is_raised_by_whatever_comes_next(method):
    saver = saver_of(begun(FakeStore()))
    saver.save({"a//b": state(w=1)["w"]}, {}, step=1).exception(60)
    with pytest.raises(InvalidName):
        getattr(saver, method)()
    saver.close()


def test_a_failure_does_not_hide_the_error_that_ended_training():
    saver = saver_of(begun(FakeStore()))
    saver.save({"a//b": state(w=1)["w"]}, {}, step=1)
    with pytest.raises(ZeroDivisionError) as caught, saver:
        raise ZeroDivisionError
    assert "saving failed" in caught.value.__notes__[0]


def test_a_fault_in_what_is_told_of_an_outage_does_not_hang_anybody(tmp_path):
    store = FakeStore()
    writer = begun(store)
    store.fault = lambda request: Fault.NEVER_ARRIVED

    def deaf(text: str) -> None:
        raise BrokenPipeError(text)

    saver = saver_of(writer, spool=Spool(tmp_path, "run", 2**20), on_note=deaf)
    saver.save(state(w=1), {}, step=1)
    with pytest.raises(BrokenPipeError, match="step 1 cannot reach the bucket"):
        saver.wait(600)
    with pytest.raises(NotDurable):
        saver.close()


def test_a_trainer_that_was_taken_over_is_told_every_time():
    store = FakeStore()
    saver = saver_of(begun(store))
    RunWriter.take_over(Repository.open(store, PREFIX), "run", "a2")
    assert isinstance(saver.save(state(w=1), {}, step=1).exception(60), TakenOver)
    for _ in range(2):
        with pytest.raises(TakenOver):
            saver.save(state(w=1), {}, step=1)
    with pytest.raises(TakenOver):
        saver.close()
    assert [commit.step for commit in repository(store).commits("run")] == [0]


def test_what_cannot_be_saved_at_all_is_refused_at_once():
    with saver_of(begun(FakeStore())) as saver:
        with pytest.raises(ValueError, match="loss"):
            saver.save(state(w=1), {"loss": float("nan")}, step=1)
        with pytest.raises(InvalidName):
            saver.save(state(w=1), {}, step=1, tags=["x" * 2000])


def test_the_last_save_of_all_skips_those_that_wait_and_is_durable():
    gate, store, writer = gated()
    saver = saver_of(writer, in_flight=2)
    saver.save(state(w=1), {}, step=1)
    assert gate.reached.wait(600)
    waiting = saver.save(state(w=2), {}, step=2)
    threading.Timer(0.1, gate.opened.set).start()
    last = saver.save_now(state(w=3), {}, step=3, deadline_s=600)
    assert (last.commit.step, last.durable_step, last.spooled) == (3, 3, False)
    assert isinstance(waiting.exception(0), SaveDropped)
    saver.close()
    assert [commit.step for commit in repository(store).commits("run")] == [0, 1, 3]


def test_a_last_save_that_misses_its_deadline_says_what_is_durable():
    gate, _, writer = gated()
    saver = saver_of(writer)
    saver.save(state(w=1), {}, step=1)
    assert gate.reached.wait(600)
    last = saver.save_now(state(w=2), {}, step=2, deadline_s=0.05)
    assert (last.step, last.commit, last.spooled, last.durable_step) == (2, None, False, None)
    gate.opened.set()
    saver.close()
    assert saver.durable_step == 2


@pytest.mark.parametrize("encoders", [1, 3])
def test_no_more_threads_encode_than_allowed(encoders, monkeypatch):
    writer = begun(FakeStore())
    running: set[int] = set()
    encode = packs.encode

    def counted(*arguments, **options):
        running.add(threading.get_ident())
        return encode(*arguments, **options)

    monkeypatch.setattr(packs, "encode", counted)
    weights = np.random.default_rng(0).standard_normal((24, 1024, 256)).astype(np.float32)
    with saver_of(writer, encoders=encoders) as saver:
        saver.save({"w": Tensor.from_numpy(weights)}, {}, step=1)
    assert 1 <= len(running) <= encoders


@pytest.mark.parametrize("wrong", [{"in_flight": 0}, {"encoders": 0}])
def test_what_could_never_save_is_refused(wrong):
    with pytest.raises(ValueError, match="must be >= 1"):
        saver_of(begun(FakeStore()), **wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority belongs to the process")
def test_all_that_saves_gives_way_to_training():
    """The thread that commits, and those that it starts to encode and upload."""
    store = FakeStore()
    writer = begun(store)
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen: list[int] = []

    def look(request: Request) -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    store.fault = look
    with BackgroundWriter(writer, niceness=3) as saver:
        saver.save(state(w=1), {}, step=1)
    assert len(seen) >= 3
    assert set(seen) == {min(19, mine + 3)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


def test_a_closed_writer_refuses_saves_each_time():
    saver = saver_of(begun(FakeStore()))
    saver.close()
    for step in range(1, 5):
        with pytest.raises(SavingEnded, match="closed"):
            saver.save(state(w=step), {}, step=step)
    with pytest.raises(SavingEnded, match="closed"):
        saver.save_now(state(w=9), {}, step=9, deadline_s=1)
    saver.close()


@pytest.mark.timeout(30)
def test_after_a_thread_has_ended_every_save_says_so_and_no_future_waits_without_end(monkeypatch):
    saver = saver_of(begun(FakeStore()))
    monkeypatch.setattr(saver._backlog, "has_landed", lambda save, commit: 1 // 0)
    future = saver.save(state(w=1), {}, step=1)
    with pytest.raises(NotDurable, match="step 1"):
        future.result(timeout=20)
    with pytest.raises(ZeroDivisionError):
        saver.wait(20)
    for step in range(2, 6):
        with pytest.raises(SavingEnded, match="ZeroDivisionError"):
            saver.save(state(w=step), {}, step=step)
    for end in (saver.wait, saver.close):
        with pytest.raises(SavingEnded, match="ZeroDivisionError"):
            end(20)


@pytest.mark.timeout(30)
def test_what_a_note_raises_is_raised_once_and_saving_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(backlog, "_FIRST_WAIT_S", 0.01)
    store = FakeStore()
    writer = begun(store)
    save, tries = writer.save, iter([False])

    def out_once(*args, **options):
        if not next(tries, True):
            raise Unreachable("out")
        return save(*args, **options)

    def fails(text: str) -> None:
        raise BrokenPipeError(text)

    monkeypatch.setattr(writer, "save", out_once)
    saver = saver_of(writer, spool=Spool(tmp_path, "run", 10**8), on_note=fails)
    saver.save(state(w=1), {}, step=1).result(timeout=20)
    raised = []
    for step in range(2, 8):
        try:
            saver.save(state(w=step), {}, step=step).result(timeout=20)
        except BrokenPipeError as error:
            raised.append(str(error))
    saver.close()
    assert len(raised) == 2  # that the bucket is out, and that it answers again
    assert repository(store).restore("run").commit.step == 7


def test_what_close_leaves_behind_is_told_to_who_waits_for_it():
    gate, _, writer = gated()
    saver = saver_of(writer)
    first = saver.save(state(w=1), {}, step=1)
    second = saver.save(state(w=2), {}, step=2)
    gate.reached.wait(20)
    with pytest.raises(NotDurable, match="1, 2"):
        saver.close(0.01)
    with pytest.raises(NotDurable, match="step 2"):
        second.result(timeout=20)
    gate.opened.set()
    assert first.result(timeout=20).step == 1
