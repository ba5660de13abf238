"""Lost answers, late and repeated requests, kills at every request: no commit is lost or doubled."""

import contextlib

import pytest

from storage.checkpoints import CommitFailed, Head, Repository, RunExists, RunWriter
from storage.checkpoints.format.head import Parent
from storage.objects import OutcomeUnknown

from .collector import PREFIX, Watch, drop
from .fake_store import Crash, FakeServer, FakeStore, Fault, Request, at
from .states import begun, repository, state

CONDITIONAL = ("put_if_match", "put_if_absent")


def saved_steps(server: FakeServer) -> list[int]:
    return [commit.step for commit in repository(FakeStore(server)).head("run").commits]


def copy_of(server: FakeServer) -> FakeServer:
    return FakeServer(dict(server.objects))


def requests_of_a_save(*, settled: bool) -> int:
    server = FakeServer()
    writer = begun(FakeStore(server))
    if not settled:
        writer = RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    store = writer.repository.shelf.files.store
    store.requests.clear()
    writer.save(state(w=1, m=0), {"step": 1}, step=1)
    return len(store.requests)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_killed_at_any_request_of_a_save_resumes_from_a_complete_commit(settled, fault):
    for number in range(requests_of_a_save(settled=settled)):
        server = FakeServer()
        watch = Watch(server)
        store = FakeStore(server)
        writer = begun(store)
        if not settled:
            writer = RunWriter.take_over(repository(store), "run", "a2")
        store.fault = at(number, fault)
        with pytest.raises(Crash):
            writer.save(state(w=1, m=0), {"step": 1}, step=1)

        successor = RunWriter.take_over(repository(FakeStore(server)), "run", "a3")
        resumed = successor.resume()
        landed = saved_steps(server) == [0, 1]
        assert resumed.meta == {"step": int(landed)}
        assert resumed.tensors == state(w=int(landed), m=0)
        successor.save(state(w=1, m=0), {"step": 1}, step=1)  # as a resumed trainer that replays the step
        assert saved_steps(server) == [0, 1]
        assert successor.resume().tensors == state(w=1, m=0)
        assert watch.losses == []


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_killed_while_it_begins_a_run_or_takes_it_over_leaves_it_usable(fault):
    for number in range(12):
        server = FakeServer()
        store = FakeStore(server)
        opened = repository(store)
        store.fault = at(number, fault)
        try:
            RunWriter.create(opened, "run", "a1").save(state(w=0), {}, step=0)
            RunWriter.take_over(opened, "run", "a2")
        except Crash:
            pass
        store.fault = at(-1, fault)
        if f"{PREFIX}runs/run/head" in server.objects:
            successor = RunWriter.take_over(opened, "run", "a3")
        else:
            successor = RunWriter.create(opened, "run", "a3")
        successor.save(state(w=1), {}, step=1)
        assert successor.resume().tensors == state(w=1)


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE, Fault.AGAIN])
@pytest.mark.parametrize("deliver", ["at once", "at the next save", "at the end"])
def test_commit_lands_once_whatever_happens_to_its_put(fault, deliver):
    server = FakeServer()
    store = FakeStore(server)
    writer = begun(store)
    fired = []

    def once(request):
        if server.late and deliver == "at once":
            server.deliver()
        if request.verb == "put_if_match" and not fired:
            fired.append(request)
            return fault
        return None

    store.fault = once
    writer.save(state(w=1, m=0), {"step": 1}, step=1)
    if deliver == "at the next save":
        server.deliver()
    writer.save(state(w=2, m=0), {"step": 2}, step=2)
    server.deliver()
    head = repository(FakeStore(server)).head("run")
    assert [commit.step for commit in head.commits] == [0, 1, 2]
    assert fired
    for commit in head.commits:
        assert writer.repository.restore("run", commit.id).meta == {"step": commit.step}


def test_what_landed_without_our_knowing_is_still_reused():
    store = FakeStore()
    writer = begun(store)
    lost = iter([Fault.ANSWER_LOST])
    store.fault = lambda request: next(lost, None) if request.verb == "put_if_match" else None
    writer.save(state(w=1), {}, step=1)
    commit = writer.save(state(w=1), {}, step=2)
    assert commit.new_bytes == commit.manifest_bytes


def test_no_two_contents_of_a_head_are_alike_and_versions_grow():
    """Else an ETag could come back, and a late request land twice."""
    server = FakeServer()
    heads: list[Head] = []

    def note(server: FakeServer, request: Request) -> None:
        if request.key.endswith("/head"):
            heads.append(Head.from_bytes(server.objects[request.key], "head"))

    server.watchers.append(note)
    writer = begun(FakeStore(server))
    for step in (1, 2):
        writer.save(state(w=step), {}, step=step)
        drop(FakeStore(server), "run")
    RunWriter.take_over(repository(FakeStore(server)), "run", "a2").save(state(w=1), {}, step=1, tags=["x"])
    assert [head.version for head in heads] == list(range(8))
    assert len({head.nonce for head in heads}) == 8


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.NEVER_ARRIVED, Fault.LATE, Fault.AGAIN])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_beginning_and_taking_over_survive_any_fault_of_a_conditional_put(fault, which):
    server = FakeServer()
    store = FakeStore(server)
    conditional = iter(range(1000))
    store.fault = lambda request: (
        fault if request.verb in CONDITIONAL and next(conditional) == which else None
    )
    opened = repository(store)  # the first conditional put
    RunWriter.create(opened, "run", "a1")  # the second
    server.deliver()
    writer = RunWriter.take_over(opened, "run", "a2")  # the third
    server.deliver()
    writer.save(state(w=1), {}, step=1)
    head = repository(FakeStore(server)).head("run")
    assert (head.writer, [commit.step for commit in head.commits]) == ("a2", [1])


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_a_fork_that_was_killed_is_finished_by_the_next_one(fault):
    server = FakeServer()
    begun(FakeStore(server))
    counting = FakeStore(copy_of(server))
    repository(counting).fork("run", "newest", "child", "b1")
    for number in range(len(counting.requests)):
        again = copy_of(server)
        with contextlib.suppress(Crash):
            repository(FakeStore(again, at(number, fault))).fork("run", "newest", "child", "b1")
        with contextlib.suppress(RunExists):  # it had landed
            repository(FakeStore(again)).fork("run", "newest", "child", "b2")
        child = RunWriter.take_over(repository(FakeStore(again)), "child", "b3")
        assert child.resume().tensors == state(w=0, m=0)


def test_only_an_empty_fork_of_the_same_commit_is_finished():
    store = FakeStore()
    writer = begun(store)
    writer.save(state(w=1), {}, step=1)
    opened = writer.repository
    RunWriter.create(opened, "mine", "c1")
    RunWriter.create(opened, "other", "c1", parent=Parent("run", writer.head.commits[0].id))
    opened.fork("run", "newest", "done", "c1")
    for name in ("mine", "other", "done"):
        with pytest.raises(RunExists):
            opened.fork("run", "newest", name, "c2")
        assert opened.head(name).writer == "c1"


def test_a_late_commit_of_a_killed_trainer_cannot_land_after_the_take_over():
    server = FakeServer()
    store = FakeStore(server)
    writer = begun(store)
    store.fault = lambda request: Fault.LATE if request.verb == "put_if_match" else None
    with pytest.raises(CommitFailed):
        writer.save(state(w=1), {}, step=1)
    assert server.late
    RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    server.deliver()
    assert saved_steps(server) == [0]


def test_a_head_that_cannot_be_changed_is_told_with_the_number_of_tries():
    store = FakeStore()
    writer = begun(store)
    store.fault = lambda request: Fault.AGAIN if request.verb == "put_if_match" else None
    with pytest.raises(CommitFailed, match="25 times"):
        writer.save(state(w=1), {}, step=1)
    store.fault = lambda request: None
    writer.save(state(w=1), {}, step=1)
    assert saved_steps(store.server) == [0, 1]


def test_an_upload_that_fails_fails_the_save_and_the_next_one_goes_on():
    store = FakeStore()
    writer = begun(store)
    store.fault = lambda request: Fault.NEVER_ARRIVED if "/packs/" in request.key else None
    with pytest.raises(OutcomeUnknown):
        writer.save(state(w=1), {}, step=1)
    store.fault = lambda request: None
    writer.save(state(w=2), {}, step=2)
    assert saved_steps(store.server) == [0, 2]
    assert Repository.open(store, PREFIX).restore("run").tensors == state(w=2)
