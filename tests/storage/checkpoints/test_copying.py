"""Copies into other repositories: bit for bit, under another key, once, and whatever cuts them short."""

from dataclasses import replace

import numpy as np
import pytest

from storage.checkpoints import (
    CommitMissing,
    Damaged,
    OuterKey,
    Repository,
    RunExists,
    RunMissing,
    RunWriter,
    SameRepository,
    Tensor,
    WrongKey,
    copy_commits,
)
from storage.objects import Bucket

from .adam import states
from .fake_store import Crash, FakeStore, Fault, Request
from .states import near, state

KEY = OuterKey.of("ab" * 32)


def awkward(step: int) -> dict[str, Tensor]:
    """All that a copy could bend: NaN payloads, -0.0, no axes, no elements, bytes of no numpy dtype."""
    bits = np.random.default_rng(step).integers(0, 2**16, 6000, dtype=np.uint16)
    return {
        **near(w=step, m=step),
        "frozen": Tensor.from_numpy(np.arange(3000, dtype=np.float64)),
        "tied": Tensor.from_numpy(np.arange(3000, dtype=np.float64)),
        "half": Tensor("bfloat16", (60, 100), bits.tobytes()),
        "eight": Tensor("float8_e4m3fn", (12_000,), bits.tobytes()),
        "flags": Tensor.from_numpy(bits[:3000] % 2 == 0),
        "gates": Tensor("float32", (4 * 8, 64), bits.tobytes()[: 4 * 8 * 64 * 4], block_rows=8),
        "scalar": Tensor("float64", (), b"\x00" * 7 + b"\x80"),
        "empty": Tensor("int32", (0, 3), b""),
    }


def trained(repository: Repository, run: str = "run", steps: int = 3) -> RunWriter:
    """A run of some commits, about which something is said."""
    writer = RunWriter.create(repository, run, f"{run}-a1")
    for step in range(steps):
        writer.save(awkward(step), {"step": step}, step=step, metrics={"loss": 1 / (step + 1)})
    repository.tag(run, "newest", "good")
    repository.pin(run, "newest", "the model in production")
    repository.note(run, "newest", "before the new sensors")
    return writer


def told(repository: Repository, run: str = "run") -> list[object]:
    """What the commits of a run say, without what depends on the place and the key."""
    return [replace(it, id="", manifest="", manifest_bytes=0, new_bytes=0) for it in repository.commits(run)]


def ids(repository: Repository, run: str = "run") -> list[str]:
    return [it.id for it in repository.commits(run)]


def check(repository: Repository, steps: int = 3, run: str = "run") -> None:
    """Every commit comes back bit for bit, gate blocks included."""
    assert repository.verify(deep=True).intact
    commits = repository.commits(run)
    assert [it.step for it in commits] == list(range(steps))
    for commit in commits:
        restored = repository.restore(run, commit.id)
        assert restored.tensors == awkward(commit.step)
        assert restored.meta == {"step": commit.step}
        assert restored.tensors["gates"].block_rows == 8


class CopyContract:
    """Promises that hold on every server. Subclass and supply `stores`, three fresh buckets or prefixes."""

    def test_plain_to_encrypted_to_plain_brings_everything_back_under_the_ids_it_had(self, stores):
        first = Repository.create(stores[0], "here")
        second = Repository.create(stores[1], "there", key=KEY)
        third = Repository.create(stores[2], "back")
        trained(first)
        copied = copy_commits(first, "run", second)
        assert (len(copied.commits), copied.there, copied.left_out) == (3, 0, ())
        check(Repository.open(stores[1], "there", key=KEY))
        assert set(ids(second)).isdisjoint(ids(first))  # keyed: they tell nothing to who lacks the key
        assert len(copy_commits(second, "run", third).commits) == 3
        check(Repository.open(stores[2], "back"))
        assert ids(third) == ids(first)
        assert told(first) == told(second) == told(third)

    def test_a_second_copy_writes_nothing_and_a_later_one_only_what_is_new(self, stores):
        first = Repository.create(stores[0], "here")
        writer = trained(first)
        targets = (
            Repository.create(stores[1], "plain"),
            Repository.create(stores[2], "encrypted", key=KEY),
        )
        for target in targets:
            copy_commits(first, "run", target)
            store = target.shelf.files.store
            before = {it.key: it.etag for it in store.list()}
            again = copy_commits(first, "run", target)
            assert (again.commits, again.there) == ((), 3)
            assert {it.key: it.etag for it in store.list()} == before
        writer.save(awkward(3), {"step": 3}, step=3)
        for target in targets:
            later = copy_commits(first, "run", target)
            assert ([it.step for it, _ in later.commits], later.there) == ([3], 3)
            check(target, steps=4)


class TestEmbedded(CopyContract):
    @pytest.fixture
    def stores(self, bucket) -> list[Bucket]:
        return [bucket] * 3


class TestMinio(CopyContract):
    @pytest.fixture
    def stores(self, bucket, minio_bucket) -> list[Bucket]:
        """From one server to the other, and back."""
        return [bucket, minio_bucket, bucket]


class TestExternal(CopyContract):
    @pytest.fixture
    def stores(self, external_bucket) -> list[Bucket]:
        return [external_bucket] * 3


def repositories(key: OuterKey | None = None) -> tuple[Repository, Repository, FakeStore]:
    store = FakeStore()
    return Repository.create(FakeStore(), "a"), Repository.create(store, "b", key=key), store


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_copy_that_is_killed_at_any_write_goes_on_when_it_is_asked_for_again(key):
    source, _, _ = repositories()
    trained(source, steps=2)
    writes = 0
    while True:
        store = FakeStore()
        target = Repository.create(store, "b", key=key)
        left = writes

        def killed(request: Request) -> Fault | None:
            nonlocal left
            if request.is_write() and "probe" not in request.key:
                left -= 1
                return Fault.CRASH_AFTER if left < 0 else None
            return None

        store.fault = killed
        try:
            copy_commits(source, "run", target)
        except Crash:
            writes += 1
            again = Repository.open(FakeStore(store.server), "b", key=key)
            copy_commits(source, "run", again)
            check(again, steps=2)
            assert told(again) == told(source)
            continue
        break
    assert writes > 4  # a head, and packs, a manifest and a head for each commit


def test_what_rests_on_commits_that_are_gone_stands_alone_in_the_copy():
    source, target, _ = repositories()
    trained(source, steps=6)
    kept = source.commits("run")[-1]
    source.drop("run", ids(source)[:-1])
    copied = copy_commits(source, "run", target)
    assert [new.id for _, new in copied.commits] == [kept.id]
    assert target.restore("run").tensors == awkward(5)
    manifest = target.shelf.read_manifest("run", target.commits("run")[0])
    theirs = source.shelf.read_manifest("run", kept)
    assert len(theirs.packs) > 1 == len(manifest.packs)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_copy_of_an_optimisers_steps_stores_as_little_as_the_source_without_knowing_the_optimiser(key):
    source, target, _ = repositories(key)
    writer = RunWriter.create(source, "run", "a1")
    trail = list(states(6, rows=128))
    for step, (tensors, hints) in enumerate(trail):
        writer.save(tensors, {}, step=step, hints=hints)
    copied = copy_commits(source, "run", target)
    assert copied.stored_bytes < 1.05 * sum(it.new_bytes for it in source.commits("run"))
    for commit, (tensors, _) in zip(target.commits("run"), trail, strict=True):
        assert target.restore("run", commit.id).tensors == tensors
        manifest = target.shelf.read_manifest("run", commit)
        assert ("adam" in {it.codec for it in manifest.locations.values()}) == (commit.step > 0)


def test_one_commit_can_be_copied_and_the_others_later():
    source, target, _ = repositories(KEY)
    trained(source)
    assert [it.step for it, _ in copy_commits(source, "run", target, commit="good").commits] == [2]
    assert copy_commits(source, "run", target, commit="newest").commits == ()
    rest = copy_commits(source, "run", target)
    assert ([it.step for it, _ in rest.commits], rest.there) == ([0, 1], 1)
    assert sorted(it.step for it in target.commits("run")) == [0, 1, 2]
    assert target.restore("run", "good").tensors == awkward(2)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_fork_still_says_what_it_was_forked_from(key):
    source, target, _ = repositories(key)
    trained(source, steps=3)
    source.fork("run", "good", "child", "child-a1").save(awkward(7), {}, step=7)
    copy_commits(source, "run", target)
    copy_commits(source, "child", target)
    parent = target.head("child").parent
    assert parent is not None
    assert target.restore(parent.run, parent.commit).tensors == awkward(2)


def test_tags_that_have_moved_on_name_one_commit_of_the_copy():
    source, target, _ = repositories()
    writer = trained(source, steps=2)
    copy_commits(source, "run", target)
    writer.save(awkward(2), {"step": 2}, step=2)
    source.tag("run", "newest", "good")
    copy_commits(source, "run", target)
    assert [it.tags for it in target.commits("run")] == [(), (), ("good",)]


def test_damaged_commits_are_left_out_of_a_run_and_said():
    source, target, _ = repositories()
    trained(source, steps=3)
    second = source.commits("run")[1]
    manifest = f"a/runs/run/manifests/{second.manifest}"
    source.shelf.files.store.delete(manifest)
    copied = copy_commits(source, "run", target)
    assert [it.step for it in target.commits("run")] == [0, 2]
    assert len(copied.left_out) == 1
    assert second.id in copied.left_out[0]
    with pytest.raises(Damaged):
        copy_commits(source, "run", target, commit=second.id)


def test_a_copy_of_the_newest_commit_says_which_newer_ones_are_damaged():
    source, target, _ = repositories()
    trained(source, steps=2)
    newest = source.commits("run")[1]
    source.shelf.files.delete(f"runs/run/manifests/{newest.manifest}")
    (note,) = copy_commits(source, "run", target, commit="newest").left_out
    assert [it.step for it in target.commits("run")] == [0]
    assert f"run/{newest.id} of step 1: manifest" in note


def test_a_damaged_commit_of_the_copy_is_copied_again():
    source, target, _ = repositories()
    trained(source, steps=2)
    copy_commits(source, "run", target)
    newest = target.commits("run")[1]
    for pack in target.shelf.read_manifest("run", newest).packs:
        target.shelf.files.delete(f"packs/{pack}")
    assert target.verify("run").found
    RunWriter.take_over(target, "run", "copy-of-someone")  # marks what is damaged
    copy_commits(source, "run", target)
    check(target, steps=2)


def other_run(target: Repository) -> None:
    RunWriter.create(target, "run", "b1").save(state(w=9), {}, step=9)


def trained_copy(target: Repository) -> None:
    RunWriter.take_over(target, "run", "b1").save(state(w=9), {}, step=9)


def other_copy(target: Repository) -> None:
    third = Repository.create(FakeStore(), "c")
    RunWriter.create(third, "run", "c1").save(state(w=9), {}, step=9)
    copy_commits(third, "run", target)


def test_a_run_that_is_no_copy_of_it_is_refused_and_left_alone():
    source, target, store = repositories()
    trained(source, steps=2)
    other_run(target)
    before = dict(store.server.objects)
    with pytest.raises(RunExists, match="'run' already that is no copy"):
        copy_commits(source, "run", target)
    assert store.server.objects == before
    copy_commits(source, "run", target, name="another")
    check(target, steps=2, run="another")


def test_a_copy_that_was_trained_on_is_refused():
    source, target, _ = repositories()
    writer = trained(source, steps=2)
    copy_commits(source, "run", target)
    trained_copy(target)
    writer.save(awkward(2), {}, step=2)
    with pytest.raises(RunExists, match="'b1'"):
        copy_commits(source, "run", target)


def test_a_copy_of_another_run_of_that_name_is_refused():
    source, target, _ = repositories()
    trained(source, steps=2)
    other_copy(target)
    with pytest.raises(RunExists):
        copy_commits(source, "run", target)


def test_a_repository_is_not_copied_onto_itself_however_it_is_called():
    source, _, _ = repositories()
    trained(source, steps=2)
    same = Repository.open(FakeStore(source.shelf.files.store.server), "a")
    for name in (None, "another"):
        with pytest.raises(SameRepository):
            copy_commits(source, "run", same, name=name)
    assert same.runs() == ["run"]


@pytest.mark.parametrize(
    ("run", "commit", "error"),
    [("nobody", None, RunMissing), ("run", "ffff", CommitMissing), ("run", "", CommitMissing)],
)
def test_what_is_not_there_is_told_and_nothing_is_written(run, commit, error):
    source, target, store = repositories()
    trained(source, steps=1)
    before = dict(store.server.objects)
    with pytest.raises(error):
        copy_commits(source, run, target, commit=commit)
    assert store.server.objects == before


def test_an_encrypted_repository_is_neither_read_nor_written_without_its_key():
    source, target, store = repositories(KEY)
    trained(source, steps=1)
    locked = Repository.open(FakeStore(store.server), "b")
    for pair in ((source, locked), (locked, source)):
        with pytest.raises(WrongKey):
            copy_commits(pair[0], "run", pair[1])
    assert target.runs() == []


def test_progress_is_told_in_bytes_of_what_is_still_to_be_copied() -> None:
    source, target = (Repository.create(FakeStore(), "c/") for _ in range(2))
    writer = trained(source, steps=1)
    copy_commits(source, "run", target)
    for step, rows in ((1, 1000), (2, 10)):
        writer.save({"w": Tensor.from_numpy(np.full((rows, 8), step, np.float32))}, {}, step=step)
    steps: list[tuple[str, int, int | None]] = []
    copy_commits(source, "run", target, progress=lambda *told: steps.append(told))
    large, small = "copying bytes, commit 1 of 2", "copying bytes, commit 2 of 2"
    all_bytes = 1010 * 32
    assert steps == [
        (large, 0, all_bytes),
        (large, 16_000, all_bytes),
        (large, 32_000, all_bytes),
        (small, 32_000, all_bytes),
        (small, 32_160, all_bytes),
        (small, 32_320, all_bytes),
    ]
