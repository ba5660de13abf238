"""What format 2 has written, this version reads: `format-2/`, made by `write_format_2.py`."""

from blake3 import blake3

from storage.checkpoints import Repository
from storage.checkpoints.restore.choosing import Restored

from . import write_format_2 as fixture
from .file_store import FileStore

DIGESTS = {
    1: "c3a9f2f84cc794e4",
    2: "d78fbf1a859d2183",
    3: "7d115de6e342ca40",
    13: "2aa2a55fafb393e0",
    14: "1cc6f41ffa315be6",
}


def digest(restored: Restored) -> str:
    tensors = restored.tensors
    return blake3(b"".join(bytes(tensors[name].data) for name in sorted(tensors))).hexdigest()[:16]


def test_every_commit_comes_back_bit_for_bit():
    repository = Repository.open(FileStore(fixture.FOLDER), "")
    for run in ("run", "child"):
        for commit in repository.commits(run):
            assert digest(repository.restore(run, commit.id)) == DIGESTS[commit.step]
    assert [commit.step for commit in repository.commits("run")] == list(DIGESTS)


def test_the_fixture_holds_saves_that_rest_on_others():
    repository = Repository.open(FileStore(fixture.FOLDER), "")
    manifest = repository.shelf.read_manifest("run", repository.commits("run")[2])
    used = {at.codec for at in manifest.locations.values()}
    assert {"split", "difference", "second-moment", "adam"} <= used
