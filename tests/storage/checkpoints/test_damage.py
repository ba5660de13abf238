"""Damaged commits are passed over, marked, never built upon, and may be replaced."""

import pytest

from storage.checkpoints import CommitMissing, Damaged, HeadLost, RunMissing, RunWriter, copy_commits

from .collector import PREFIX, drop
from .fake_store import FakeServer, FakeStore, Request
from .states import begun, repository, state


@pytest.fixture
def server() -> FakeServer:
    """A run with commits of steps 0, 1 and 2; only w changes, so m lies in the first pack."""
    server = FakeServer()
    writer = begun(FakeStore(server))
    for step in (1, 2):
        writer.save(state(w=step, m=0), {"step": step}, step=step)
    return server


def manifest_key(server: FakeServer, step: int) -> str:
    commit = repository(FakeStore(server)).head("run").commits[step]
    return f"{PREFIX}runs/run/manifests/{commit.manifest}"


def pack_key(server: FakeServer, step: int, tensor: str) -> str:
    opened = repository(FakeStore(server))
    manifest = opened.shelf.read_manifest("run", opened.head("run").commits[step])
    return f"{PREFIX}packs/{manifest.locations[manifest.tensors[tensor].chunks[0]].pack}"


def remove_manifest(server: FakeServer) -> None:
    del server.objects[manifest_key(server, 2)]


def cut_manifest(server: FakeServer) -> None:
    key = manifest_key(server, 2)
    server.objects[key] = server.objects[key][:-20]


def swap_manifest(server: FakeServer) -> None:
    server.objects[manifest_key(server, 2)] = server.objects[manifest_key(server, 1)]


def remove_pack(server: FakeServer) -> None:
    del server.objects[pack_key(server, 2, "w")]


def cut_pack(server: FakeServer) -> None:
    key = pack_key(server, 2, "w")
    server.objects[key] = server.objects[key][:-1]


def lengthen_pack(server: FakeServer) -> None:
    server.objects[pack_key(server, 2, "w")] += b"more"


def rot_pack(server: FakeServer) -> None:
    key = pack_key(server, 2, "w")
    server.objects[key] = server.objects[key][:-1] + bytes([server.objects[key][-1] ^ 1])


SEEN_WITHOUT_READING_BYTES = [
    remove_manifest,
    cut_manifest,
    swap_manifest,
    remove_pack,
    cut_pack,
    lengthen_pack,
]


@pytest.mark.parametrize("damage", [*SEEN_WITHOUT_READING_BYTES[:-1], rot_pack])
def test_restore_passes_over_a_damaged_commit_and_says_so(server, damage):
    damage(server)
    restored = repository(FakeStore(server)).restore("run")
    assert restored.meta == {"step": 1}
    assert restored.tensors == state(w=1, m=0)
    (skipped,) = restored.skipped
    assert "step 2" in skipped


@pytest.mark.parametrize("damage", [*SEEN_WITHOUT_READING_BYTES[:-1], rot_pack])
def test_restore_of_a_damaged_commit_by_its_id_is_refused(server, damage):
    commit = repository(FakeStore(server)).head("run").commits[2]
    damage(server)
    with pytest.raises(Damaged):
        repository(FakeStore(server)).restore("run", commit.id)


@pytest.mark.parametrize("damage", [*SEEN_WITHOUT_READING_BYTES, rot_pack])
def test_resumed_trainer_replaces_the_damaged_commit_on_its_way(server, damage):
    """It goes on from step 1, and saves step 2 again with the same content: so with the same id."""
    before = repository(FakeStore(server)).head("run").commits[2]
    damage(server)
    writer = RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    marked = [commit.damaged for commit in repository(FakeStore(server)).head("run").commits]
    assert marked == [False, False, damage is not rot_pack]
    assert writer.resume().commit.step == 1
    assert [commit.damaged for commit in repository(FakeStore(server)).head("run").commits][2]

    replaced = writer.save(state(w=2, m=0), {"step": 2}, step=2)
    assert replaced.id == before.id
    assert replaced.manifest != before.manifest
    head = repository(FakeStore(server)).head("run")
    assert [(commit.step, commit.damaged) for commit in head.commits] == [(0, False), (1, False), (2, False)]
    assert repository(FakeStore(server)).restore("run").tensors == state(w=2, m=0)


def test_packs_of_a_damaged_commit_are_not_reused(server):
    shared = pack_key(server, 2, "m")
    del server.objects[pack_key(server, 2, "w")]
    writer = RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    commit = writer.save(state(w=9, m=0), {}, step=9)
    manifest = writer.repository.shelf.read_manifest("run", commit)
    assert shared.removeprefix(f"{PREFIX}packs/") not in manifest.packs


def test_packs_of_a_commit_that_is_marked_later_are_not_reused(server):
    writer = RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    shared = pack_key(server, 2, "m")
    writer.mark_damaged([writer.head.commits[2].id])
    commit = writer.save(state(w=9, m=0), {}, step=9)
    manifest = writer.repository.shelf.read_manifest("run", commit)
    assert shared.removeprefix(f"{PREFIX}packs/") not in manifest.packs


@pytest.mark.parametrize("damage", SEEN_WITHOUT_READING_BYTES)
def test_a_fork_of_the_newest_goes_on_from_a_complete_commit(server, damage):
    damage(server)
    child = repository(FakeStore(server)).fork("run", "newest", "child", "b1")
    assert [commit.step for commit in child.head.commits] == [1]
    (note,) = child.skipped
    assert note.startswith("passed over run/")
    assert "of step 2: " in note
    assert child.resume().tensors == state(w=1, m=0)


@pytest.mark.parametrize("damage", SEEN_WITHOUT_READING_BYTES)
def test_a_fork_of_a_damaged_commit_is_refused_and_leaves_no_run(server, damage):
    opened = repository(FakeStore(server))
    commit = opened.head("run").commits[2].id
    damage(server)
    with pytest.raises(Damaged, match="choose another commit"):
        opened.fork("run", commit, "child", "b1")
    assert opened.runs() == ["run"]


@pytest.mark.parametrize("commit", ["newest", "abcd"])
def test_a_fork_of_a_run_that_lost_its_head_tells_how_it_comes_back(server, commit):
    del server.objects[f"{PREFIX}runs/run/head"]
    with pytest.raises(HeadLost, match="carousel checkpoints repair run"):
        repository(FakeStore(server)).fork("run", commit, "child", "b1")
    with pytest.raises(RunMissing, match="no run 'never'"):
        repository(FakeStore(server)).fork("never", commit, "child", "b1")


@pytest.mark.parametrize(
    "ask",
    [
        lambda opened: opened.restore("run"),
        lambda opened: opened.restore("run", "abcd"),
        lambda opened: opened.restore_rows("run", "newest", []),
        lambda opened: opened.commits("run"),
        lambda opened: opened.newest_complete("run"),
        lambda opened: opened.tag("run", "newest", "good"),
        lambda opened: copy_commits(opened, "run", repository(FakeStore())),
        lambda opened: RunWriter.take_over(opened, "run", "a2"),
    ],
)
def test_whoever_asks_for_a_run_that_lost_its_head_is_told_how_it_comes_back(server, ask):
    del server.objects[f"{PREFIX}runs/run/head"]
    with pytest.raises(HeadLost, match="carousel checkpoints repair run"):
        ask(repository(FakeStore(server)))


def test_a_fork_without_any_complete_commit_says_so(server):
    for key in [key for key in server.objects if "/packs/" in key]:
        del server.objects[key]
    with pytest.raises(CommitMissing, match=r"no complete commit; passed over .*step 2.*step 1.*step 0"):
        repository(FakeStore(server)).fork("run", "newest", "child", "b1")


def test_damage_before_the_newest_commit_is_marked_too(server):
    del server.objects[manifest_key(server, 0)]
    RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    assert [c.damaged for c in repository(FakeStore(server)).head("run").commits] == [True, False, False]


def test_take_over_of_a_long_run_looks_at_its_newest_commits_only():
    server = FakeServer()
    writer = begun(FakeStore(server))
    for step in range(1, 60):
        writer.save(state(w=step), {}, step=step)
    store = FakeStore(server)
    RunWriter.take_over(repository(store), "run", "a2")
    assert sum("/manifests/" in request.key for request in store.requests) == 32


def test_take_over_goes_back_until_a_commit_is_complete():
    server = FakeServer()
    writer = begun(FakeStore(server))
    for step in range(1, 40):
        writer.save(state(w=step), {}, step=step)
    for commit in writer.head.commits[1:]:
        del server.objects[f"{PREFIX}runs/run/manifests/{commit.manifest}"]
    resumed = RunWriter.take_over(repository(FakeStore(server)), "run", "a2").resume()
    assert resumed.commit.step == 0
    assert len(resumed.skipped) == 39


def test_run_without_any_complete_commit_says_so_and_can_begin_again(server):
    for key in [key for key in server.objects if "/packs/" in key]:
        server.objects[key] = bytes(len(server.objects[key]))
    with pytest.raises(CommitMissing, match=r"no complete commit; passed over .*step 2.*step 1.*step 0"):
        repository(FakeStore(server)).restore("run")
    writer = RunWriter.take_over(repository(FakeStore(server)), "run", "a2")
    with pytest.raises(CommitMissing):
        writer.resume()
    writer.save(state(w=0, m=0), {"step": 0}, step=0)
    assert repository(FakeStore(server)).restore("run").tensors == state(w=0, m=0)


def test_commit_dropped_while_it_is_read_is_told_apart_from_damage(server):
    def drop_before_the_packs(request: Request) -> None:
        if "/packs/" in request.key:
            drop(FakeStore(server), "run", keep=1)
            for key in [key for key in server.objects if "/packs/" in key]:
                del server.objects[key]

    commit = repository(FakeStore(server)).head("run").commits[1]
    with pytest.raises(CommitMissing, match="was dropped while it was read"):
        repository(FakeStore(server, drop_before_the_packs)).restore("run", commit.id)
