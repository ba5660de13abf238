"""Collections, retention and verification on real servers, beside a trainer that saves all the time."""

import contextlib
import threading
import time

import pytest

from storage.checkpoints import CommitMissing, Ending, Repository, Retention, RunWriter
from storage.objects import Bucket

from .fake_store import FakeStore
from .states import state
from .test_repack import check, trained

PREFIX = "some/where"
SECONDS = 2.5


class CollectionContract:
    """Promises that hold on every server. Subclass and supply `store`, a fresh bucket."""

    def test_garbage_goes_with_the_second_collection_and_a_drop_is_undone_before(self, store):
        repository = Repository.create(store, PREFIX)
        writer = RunWriter.create(repository, "run", "a1")
        for step in range(6):
            writer.save(state(w=step, m=0), {"step": step}, step=step, metrics={"loss": -step})
        repository.tag("run", writer.head.commits[2].id, "good")
        dropped = repository.retain("run", Retention(last=2)).dropped
        assert [commit.step for commit in dropped] == [1, 3]
        repository.undo_drop("run", dropped[:1])
        told = [repository.collect(dry_run=True), *(repository.collect() for _ in range(3))]
        assert [it.ending for it in told] == [
            Ending.DRY_RUN,
            Ending.FINISHED,
            Ending.FINISHED,
            Ending.NOTHING_TO_DO,
        ]
        assert told[2].deleted.objects == 2
        report = repository.verify(deep=True)
        assert report.intact
        assert (report.commits, report.unreferenced, report.collections) == (5, 0, 2)
        assert repository.restore("run", "good").meta == {"step": 2}

    def test_packs_that_a_fork_shares_are_emptied_for_both_runs(self, store):
        repository = Repository.create(store, PREFIX)
        trained(repository, 7)
        repository.fork("run", "newest", "child", "b1")
        repository.retain("run", Retention(last=1))
        before = repository.statistics().pack_bytes
        result = repository.repack("run")
        assert (len(result.rewritten), len(result.others["child"])) == (1, 1)
        for _ in range(2):
            repository.collect()
        assert repository.statistics().pack_bytes < 0.8 * before
        for run in ("run", "child"):
            check(repository, run)
        assert repository.verify(deep=True).unreferenced == 0

    def test_a_trainer_that_saves_all_the_time_loses_nothing_to_collectors(self, store):
        repository = Repository.create(store, PREFIX)
        writer = RunWriter.create(repository, "run", "a1")
        writer.save(state(w=0, m=0), {"w": 0, "m": 0}, step=0)
        over = threading.Event()
        deadline = time.monotonic() + SECONDS
        troubles: list[BaseException] = []
        deleted: list[int] = []

        def busy(work) -> threading.Thread:
            def loop() -> None:
                try:
                    while not over.is_set():
                        work()
                except BaseException as error:  # noqa: BLE001 - the test looks at it
                    troubles.append(error)
                    over.set()

            thread = threading.Thread(target=loop)
            thread.start()
            return thread

        steps = iter(range(1, 10**6))

        def save() -> None:
            step = next(steps)
            seeds = {"w": step, "m": step % 3}
            writer.save(state(**seeds), seeds, step=step, retain=Retention(last=3, every=20))
            late = time.monotonic() - deadline
            if late > (
                0 if sum(deleted) else 100 * SECONDS
            ):  # a busy machine may take longer to collect twice
                over.set()

        def collect() -> None:
            deleted.append(Repository.open(store, PREFIX).collect().deleted.objects)

        def fork() -> None:
            with contextlib.suppress(CommitMissing):  # dropped before it was forked
                Repository.open(store, PREFIX).fork("run", "newest", f"child-{next(steps)}", "b1")
            over.wait(0.3)

        threads = [busy(save), busy(collect), busy(collect), busy(fork)]
        for thread in threads:
            thread.join()
        assert troubles == []
        assert sum(deleted) > 0
        assert repository.verify(deep=True).findings == []
        for run in repository.runs():
            for commit in repository.commits(run):
                restored = repository.restore(run, commit.id)
                assert restored.tensors == state(**restored.meta)
        for _ in range(2):
            repository.collect()
        assert repository.verify().unreferenced == 0


class TestFake(CollectionContract):
    @pytest.fixture
    def store(self) -> FakeStore:
        return FakeStore()


class TestEmbedded(CollectionContract):
    @pytest.fixture
    def store(self, bucket) -> Bucket:
        return bucket


class TestMinio(CollectionContract):
    @pytest.fixture
    def store(self, minio_bucket) -> Bucket:
        return minio_bucket


class TestExternal(CollectionContract):
    """The server that CAROUSEL_TEST_S3_ENDPOINT names."""

    @pytest.fixture
    def store(self, external_bucket) -> Bucket:
        return external_bucket
