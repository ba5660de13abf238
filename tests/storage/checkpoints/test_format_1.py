"""What the first format has written, this version reads: `format-1/`, made by `write_format_1.py`."""

import pytest

from storage.checkpoints import CommitMissing, Damaged, Repository
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.format.store import Below

from . import write_format_1 as fixture
from .file_store import FileStore


@pytest.fixture
def repository() -> Repository:
    return Repository.open(FileStore(fixture.FOLDER), "")


def test_every_commit_comes_back_bit_for_bit(repository):
    commits = repository.commits("run")
    assert [(c.step, c.attempt, c.damaged) for c in commits] == [
        (0, "attempt-1", False),
        (10, "attempt-1", False),
        (20, "attempt-2", False),
        (30, "attempt-2", True),
    ]
    for commit in commits[:3]:
        restored = repository.restore("run", commit.id)
        assert restored.tensors == fixture.state(commit.step)
        assert restored.tensors["blocks"].block_rows == 4
        assert repr(restored.meta) == repr(dict(sorted(fixture.meta(commit.step).items())))
        assert repr(dict(commit.metrics)) == repr(dict(sorted(fixture.metrics(commit.step).items())))


def test_newest_passes_over_the_damaged_commit(repository):
    damaged = repository.commits("run")[3].id
    restored = repository.restore("run")
    assert restored.commit.step == 20
    assert restored.skipped == (f"passed over run/{damaged} of step 30: it was found damaged before",)


def test_damaged_commit_is_refused(repository):
    with pytest.raises(Damaged):
        repository.restore("run", repository.commits("run")[3].id)


def test_fork_reads_its_parents_packs(repository):
    head = repository.head("child")
    assert head.parent is not None
    assert head.parent.run == "run"
    assert [commit.step for commit in head.commits] == [20, 40]
    assert repository.restore("child", head.parent.commit).tensors == fixture.state(20)
    assert repository.restore("child").tensors == {"only": fixture.state(40)["changes"]}


def test_tags_pages_runs_and_collections_are_read(repository):
    assert repository.runs() == ["child", "run"]
    assert repository.restore("run", "start").commit.step == 0
    assert repository.restore("run", "best").commit.step == 20
    with pytest.raises(CommitMissing):
        repository.restore("run", "worst")
    shelf = Shelf(Below(FileStore(fixture.FOLDER), ""))
    assert shelf.newest_collection() == 1
    assert shelf.condemned(0, 1) == {"packs/00000000-" + "e" * 32}


def test_every_codec_is_in_the_fixture(repository):
    commit = repository.head("run").commits[1]
    manifest = repository.shelf.read_manifest("run", commit)
    assert {at.codec for at in manifest.locations.values()} == {"raw", "zstd", "planes-zstd"}


def test_ids_are_still_computed_the_same_way():
    """Else the same state would be committed twice, and every chunk stored anew."""
    store = fixture.write()
    again = Repository.open(store, "")
    then = Repository.open(FileStore(fixture.FOLDER), "")
    for run in ("run", "child"):
        assert [c.id for c in again.commits(run)] == [c.id for c in then.commits(run)]
