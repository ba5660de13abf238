"""The same promises on every server: the fake one of the other tests, the embedded one, MinIO, yours."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from storage.checkpoints import (
    CommitFailed,
    Damaged,
    NothingToRepair,
    Repository,
    RunExists,
    RunWriter,
    TakenOver,
    Tensor,
)
from storage.checkpoints.format.names import head_key
from storage.objects import Bucket

from .fake_store import FakeStore
from .states import state

PREFIX = "some/where"


def large_state(seed: int, tensors: int = 4) -> dict[str, Tensor]:
    """1.5 MiB per tensor: several chunks."""
    rng = np.random.default_rng(seed)
    return {
        f"layer/{i}": Tensor.from_numpy(rng.standard_normal((384, 1024)).astype(np.float32), block_rows=96)
        for i in range(tensors)
    }


class RepositoryContract:
    """Promises that hold on every server. Subclass and supply `store`, a fresh bucket."""

    def test_states_come_back_and_unchanged_tensors_are_stored_once(self, store):
        repository = Repository.create(store, PREFIX)
        writer = RunWriter.create(repository, "run", "a1")
        first = large_state(0)
        changed = {**first, "layer/0": large_state(1)["layer/0"]}
        one = writer.save(first, {"n": 1}, step=0, metrics={"loss": float("nan")}, tags=["start"])
        two = writer.save(changed, {"n": 2}, step=10)
        assert one.new_bytes > 3 * two.new_bytes
        opened = Repository.open(store, PREFIX)
        assert opened.restore("run").tensors == changed
        assert opened.restore("run", "start").tensors == first
        assert opened.restore("run", one.id, names=["layer/3"]).tensors == {"layer/3": first["layer/3"]}
        assert opened.runs() == ["run"]
        counted = opened.statistics()
        assert counted.stored_bytes < 0.6 * counted.raw_bytes

    def test_32_mib_go_up_in_several_packs_and_come_back(self, store):
        repository = Repository.create(store, PREFIX)
        rng = np.random.default_rng(0)
        large = {f"t{i}": Tensor("float32", (2**20,), rng.bytes(2**22)) for i in range(8)}
        commit = RunWriter.create(repository, "run", "a1").save(large, {}, step=0)
        assert len(repository.shelf.read_manifest("run", commit).packs) == 5  # of 4, 8, 8, 8 and 4 MiB
        assert repository.restore("run").tensors == large

    def test_run_goes_on_under_a_new_trainer_and_the_older_one_stops(self, store):
        repository = Repository.create(store, PREFIX)
        older = RunWriter.create(repository, "run", "a1")
        older.save(state(w=0), {}, step=0)
        with pytest.raises(RunExists):
            RunWriter.create(repository, "run", "a2")
        younger = RunWriter.take_over(Repository.open(store, PREFIX), "run", "a2")
        with pytest.raises(TakenOver):
            older.save(state(w=1), {}, step=1)
        younger.save(state(w=2), {}, step=1)
        assert [commit.attempt for commit in repository.head("run").commits] == ["a1", "a2"]

    @pytest.mark.parametrize("lose", ["delete", "overwrite", "truncate"])
    def test_a_lost_head_is_rebuilt_from_what_is_left(self, store, lose):
        repository = Repository.create(store, PREFIX)
        writer = RunWriter.create(repository, "run", "a1")
        for step in range(3):
            writer.save(state(w=step, m=0), {"step": step}, step=step)
        files, key = repository.shelf.files, head_key("run")
        match lose:
            case "delete":
                files.delete(key)
            case "overwrite":
                files.put(key, b"\x00 no head")
            case "truncate":
                files.put(key, files.get(key, 2**26).data[:-10])
        before = [it.id for it in writer.head.commits]
        with pytest.raises(Damaged, match="carousel checkpoints repair run"):
            repository.collect()
        assert [it.id for it in repository.repair("run").named] == before
        with pytest.raises(NothingToRepair):
            repository.repair("run")
        RunWriter.take_over(repository, "run", "a2").save(state(w=3, m=0), {"step": 3}, step=3)
        for _ in range(2):
            repository.collect()
        assert repository.verify(deep=True).findings == []
        for commit in repository.commits("run"):
            assert repository.restore("run", commit.id).tensors == state(w=commit.step, m=0)

    def test_fork_stores_no_tensor_bytes(self, store):
        repository = Repository.create(store, PREFIX)
        RunWriter.create(repository, "run", "a1").save(large_state(0), {}, step=3)
        before = repository.statistics()
        child = repository.fork("run", "newest", "child", "b1")
        after = repository.statistics()
        assert (after.packs, after.pack_bytes) == (before.packs, before.pack_bytes)
        assert child.save(large_state(0), {"n": 1}, step=4).new_bytes < 5_000
        assert repository.restore("child").tensors == large_state(0)

    def test_a_run_of_its_own_with_the_same_pretrained_tensors_stores_only_what_is_new(self, store):
        repository = Repository.create(store, PREFIX)
        RunWriter.create(repository, "run", "a1").save(large_state(0), {}, step=3)
        before = repository.statistics()
        other = RunWriter.create(Repository.open(store, PREFIX), "other", "b1")
        pretrained = {f"pretrained/{name}": tensor for name, tensor in large_state(0).items()}
        other.save(pretrained, {}, step=0)
        after = repository.statistics()
        assert (after.packs, after.pack_bytes) == (before.packs, before.pack_bytes)
        head = state(w=1)
        assert (
            RunWriter.create(repository, "third", "c1").save(large_state(0) | head, {}, step=0).new_bytes
            < 9_000
        )
        assert repository.restore("other").tensors == pretrained
        assert repository.restore("third").tensors == large_state(0) | head

    def test_of_many_that_take_over_at_once_one_trains(self, store):
        repository = Repository.create(store, PREFIX)
        RunWriter.create(repository, "run", "a0").save(state(w=0), {}, step=0)
        start = threading.Barrier(6)

        def train(number: int) -> bool:
            writer = RunWriter.take_over(Repository.open(store, PREFIX), "run", f"a{number}")
            start.wait()
            try:
                writer.save(state(w=number), {}, step=number)
            except TakenOver:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            landed = list(pool.map(train, range(1, 7)))
        head = repository.head("run")
        assert landed.count(True) == 1
        assert [commit.attempt for commit in head.commits] == ["a0", head.writer]

    def test_damaged_commit_is_passed_over_marked_and_replaced(self, store):
        repository = Repository.create(store, PREFIX)
        writer = RunWriter.create(repository, "run", "a1")
        writer.save(large_state(0, 1), {}, step=0)
        commit = writer.save(large_state(1, 1), {}, step=1)
        pack = next(iter(repository.shelf.read_manifest("run", commit).packs.keys()))
        store.put(f"{PREFIX}/packs/{pack}", b"short")
        with pytest.raises(Damaged):
            repository.restore("run", commit.id)
        successor = RunWriter.take_over(repository, "run", "a2")
        assert [known.damaged for known in successor.head.commits] == [False, True]
        resumed = successor.resume()
        assert (resumed.commit.step, len(resumed.skipped)) == (0, 1)
        assert successor.save(large_state(1, 1), {}, step=1).id == commit.id
        assert repository.restore("run").tensors == large_state(1, 1)


class TestFake(RepositoryContract):
    @pytest.fixture
    def store(self) -> FakeStore:
        return FakeStore()


class TestEmbedded(RepositoryContract):
    @pytest.fixture
    def store(self, bucket) -> Bucket:
        return bucket

    def test_killed_trainer_leaves_a_run_that_goes_on(self, store):
        """kill -9 as it sends this or that request of a save; whatever was committed last is whole."""
        repository = Repository.create(store, PREFIX)
        program = Path(__file__).with_name("endless_trainer.py")
        for attempt, last_words in enumerate(("put packs", "put manifests", "put_if_match head", "saved")):
            with subprocess.Popen(
                [sys.executable, program, store.name, PREFIX, f"a{attempt}", repr(asdict(store.access))],
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[3],
                env=os.environ | {"PYTHONPATH": "."},
                text=True,
            ) as process:
                assert process.stdout is not None
                words = iter(process.stdout.readline, "")
                saved = 0
                for line in words:
                    saved += line == "saved\n"
                    if saved >= 2 and line == f"{last_words}\n":
                        break
                process.kill()
            restored = repository.restore("run")
            assert restored.skipped == ()
            assert restored.tensors == state(w=restored.meta["step"], m=0)
        assert len({commit.attempt for commit in repository.head("run").commits}) == 4


class TestMinio(RepositoryContract):
    @pytest.fixture
    def store(self, minio_bucket) -> Bucket:
        return minio_bucket


class TestExternal(RepositoryContract):
    """The server that CAROUSEL_TEST_S3_ENDPOINT names."""

    @pytest.fixture
    def store(self, external_bucket) -> Bucket:
        return external_bucket


def test_a_head_that_never_can_be_written_gives_up():
    """The waits between tries are bounded: about half a minute in all."""
    waits: list[float] = []
    store = FakeStore()
    repository = Repository.create(store, PREFIX, pause=waits.append)
    writer = RunWriter.create(repository, "run", "a1")
    store.server.etag = lambda key: "another"
    with pytest.raises(CommitFailed):
        writer.save(state(w=0), {}, step=0)
    assert 10 < sum(waits) < 60
