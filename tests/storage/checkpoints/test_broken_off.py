"""Objects that their server has and cannot send whole: each is told in words, and nothing is lost."""

import pytest

from storage.checkpoints import CheckpointError, Damaged, HeadUnreadable, Repository, RunWriter
from storage.objects import Object, Truncated

from .collector import PREFIX
from .fake_store import FakeStore
from .states import begun, repository, state


class BreaksOff(FakeStore):
    """Sends half of what `broken` is in the key of."""

    broken = "nothing"

    def get(self, key: str, limit: int | None = None) -> Object:
        if self.broken in key:
            raise Truncated(f"{key} broke off")
        return super().get(key, limit)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        if self.broken in key:
            raise Truncated(f"{key} broke off")
        return super().get_range(key, start, length)


@pytest.fixture
def store() -> BreaksOff:
    store = BreaksOff()
    writer = begun(store)
    for step in (1, 2):
        writer.save(state(w=step, m=0), {}, step=step, tags=(f"t{step}",))
    repository(store).collect()
    return store


@pytest.mark.parametrize("broken", ["repository.json", "/head", "manifests/", "packs/", "collections/"])
def test_it_is_told_in_words_and_nothing_goes(store, broken):
    opened = repository(store)
    opened.drop("run", ["t1"])
    before = dict(store.server.objects)
    store.broken = broken
    calls = {
        "open": lambda: Repository.open(store, PREFIX),
        "restore": lambda: opened.restore("run", "t2"),
        "commits": lambda: opened.commits("run"),
        "verify": lambda: opened.verify(deep=True),
        "collect": lambda: opened.collect(),
        "repack": lambda: opened.repack("run"),
        "keepers": lambda: opened.shares(),
        "fork": lambda: opened.fork("run", "t2", "child", "b1"),
    }
    failed = dict[str, str]()
    for name, call in calls.items():
        try:
            call()
        except CheckpointError as error:
            failed[name] = str(error)
    assert all("broke off" in said for said in failed.values())
    assert ("open" in failed) == (broken == "repository.json")
    assert ("restore" in failed) == (broken in ("/head", "manifests/", "packs/"))
    if broken in ("/head", "manifests/"):
        assert "collect" in failed
    store.broken = "nothing"
    assert all(store.server.objects[key] == data for key, data in before.items() if "/packs/" in key)
    assert repository(store).restore("run", "t2").tensors == state(w=2, m=0)


def test_a_head_that_is_not_sent_whole_is_rebuilt(store):
    store.broken = "/head"
    opened = repository(store)
    with pytest.raises(HeadUnreadable, match="repair run"):
        opened.restore("run")
    etag = store.server.etag(f"{PREFIX}runs/run/head")
    opened.repair("run")
    assert store.server.etag(f"{PREFIX}runs/run/head") != etag
    store.broken = "nothing"
    assert [it.step for it in opened.commits("run")] == [0, 1, 2]
    assert opened.restore("run").tensors == state(w=2, m=0)


def test_a_resume_under_a_head_that_is_not_sent_whole_changes_nothing(store):
    store.broken = "/head"
    before = dict(store.server.objects)
    with pytest.raises(Damaged):
        RunWriter.take_over(repository(store), "run", "a2")
    assert store.server.objects == before
