"""What a spool holds is committed by the trainer that resumes, unless the run has gone on elsewhere."""

import pytest

from storage.checkpoints import BackgroundWriter, RunWriter, Spool, TakenOver, recover
from storage.checkpoints.background.pending import newest_id
from storage.checkpoints.background.spool_file import SpooledState

from .fake_store import Crash, FakeStore, Fault, Request
from .states import begun, repository, state


def keep(spool: Spool, writer: RunWriter, *steps: int) -> None:
    """As that trainer would in an outage."""
    for step in steps:
        spool.put(
            SpooledState(
                run="run",
                attempt=writer.attempt,
                parent=newest_id(writer),
                step=step,
                meta={"step": step},
                metrics={"loss": 1 / step},
                tags=("kept",),
                tensors=state(w=step),
            )
        )


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path, "run", 10**7)


def taken_over(store: FakeStore, attempt: str) -> RunWriter:
    return RunWriter.take_over(repository(store), "run", attempt)


def test_spooled_states_are_committed_in_order_and_training_goes_on_from_the_newest(spool):
    store = FakeStore()
    keep(spool, begun(store), 20, 10)
    writer = taken_over(store, "a2")
    notes = recover(spool, writer)
    assert [(it.step, it.attempt, it.tags) for it in writer.head.commits[1:]] == [
        (10, "a2", ("kept",)),
        (20, "a2", ("kept",)),
    ]
    restored = writer.resume()
    assert (restored.tensors, restored.meta) == (state(w=20), {"step": 20})
    assert restored.commit.metrics == {"loss": 1 / 20}
    assert len(notes) == 2
    assert spool.entries() == []


def test_a_state_that_its_own_attempt_has_passed_is_left_out(spool):
    store = FakeStore()
    writer = begun(store)
    keep(spool, writer, 10)
    writer.save(state(w=30), {"step": 30}, step=30)
    (note,) = recover(spool, newer := taken_over(store, "a2"))
    assert "reached step 30 already" in note
    assert [commit.step for commit in newer.head.commits] == [0, 30]


def test_a_state_of_a_run_that_another_attempt_has_gone_on_with_is_left_out(spool):
    store = FakeStore()
    keep(spool, begun(store), 50)
    taken_over(store, "elsewhere").save(state(w=1), {"step": 5}, step=5)
    (note,) = recover(spool, newer := taken_over(store, "a3"))
    assert "attempt elsewhere has gone on from an earlier step" in note
    assert [commit.step for commit in newer.head.commits] == [0, 5]
    assert spool.entries() == []


def test_after_an_attempt_that_took_over_and_committed_nothing_the_state_is_used(spool):
    store = FakeStore()
    keep(spool, begun(store), 50)
    taken_over(store, "short-lived")
    recover(spool, newer := taken_over(store, "a3"))
    assert [commit.step for commit in newer.head.commits] == [0, 50]


def test_a_damaged_state_is_passed_over_and_the_others_are_used(spool):
    store = FakeStore()
    keep(spool, begun(store), 10, 20)
    newest = spool.entries()[-1]
    newest.path.write_bytes(newest.path.read_bytes()[:-100])
    notes = recover(spool, newer := taken_over(store, "a2"))
    assert any("step 20 in the spool is damaged" in note for note in notes)
    assert [commit.step for commit in newer.head.commits] == [0, 10]


def test_a_recovery_that_is_killed_at_any_request_is_finished_by_the_next_one(spool):
    """Also once more by an attempt in between, whose commits must not look like another's training."""
    store = FakeStore()
    keep(spool, begun(store), 10, 20)
    for number in range(1, 100):
        left = number

        def fault(request: Request) -> Fault | None:
            nonlocal left
            left -= 1
            return Fault.CRASH_AFTER if left == 0 else None

        writer = taken_over(store, f"killed-{number}")
        writer.repository.shelf.files.store.fault = fault
        try:
            recover(spool, writer)
        except Crash:
            store.fault = lambda request: None
            continue
        break
    assert number > 3
    assert [commit.step for commit in writer.head.commits] == [0, 10, 20]
    assert spool.entries() == []


def test_half_written_files_of_a_killed_process_are_removed(spool):
    writer = begun(FakeStore())
    spool.folder.mkdir(parents=True)
    (spool.folder / "0000000000000000007-a1-00000000.save.123.partial").write_bytes(b"half")
    assert recover(spool, writer) == ()
    assert list(spool.folder.iterdir()) == []


def test_an_older_trainer_on_this_host_that_still_lives_loses_nothing_but_its_claim(spool):
    """It wakes up after its successor has emptied the spool."""
    store = FakeStore()
    out = True

    def fault(request: Request) -> Fault | None:
        return Fault.NEVER_ARRIVED if out and request.verb != "list" else None

    writer = begun(store)
    store.fault = fault
    saver = BackgroundWriter(writer, spool=spool)
    last = saver.save_now(state(w=7), {"step": 7}, step=7, deadline_s=0.1)
    assert (last.spooled, last.commit) == (True, None)
    out = False
    successor = taken_over(FakeStore(store.server), "a2")
    recover(spool, successor)
    with pytest.raises(TakenOver):
        saver.wait()
    assert [commit.step for commit in successor.repository.head("run").commits] == [0, 7]
