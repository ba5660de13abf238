"""What collections remember of manifests: each is read once ever, and a wrong memory never costs data."""

import sqlite3

import pytest

from storage.checkpoints import Damaged, PackLists

from .collector import PREFIX, Watch
from .fake_store import FakeServer, FakeStore
from .states import begun, repository, state


def read_by(store: FakeStore, lists: PackLists) -> int:
    """Manifests that a collection reads."""
    return repository(store).collect(lists=lists).manifests_read


def test_each_manifest_is_read_once_ever(tmp_path):
    store = FakeStore()
    writer = begun(store)
    for step in range(1, 5):
        writer.save(state(w=step), {}, step=step)
    path = tmp_path / "new" / "lists.db"
    with PackLists(path) as lists:
        assert read_by(store, lists) == 5
        assert read_by(store, lists) == 0
    writer.save(state(w=5), {}, step=5)
    with PackLists(path) as lists:
        assert read_by(store, lists) == 1
        store.requests.clear()
        assert read_by(store, lists) == 0
        assert not [it for it in store.requests if "/manifests/" in it.key]


def test_collections_with_and_without_lists_do_the_same(tmp_path):
    servers = []
    for remembering in (True, False):
        store = FakeStore(FakeServer())
        watch = Watch(store.server)
        writer = begun(store)
        with PackLists(tmp_path / f"{remembering}.db") as lists:
            for step in range(1, 8):
                writer.save(state(w=step % 3, m=step), {}, step=step)
                if step % 2:
                    repository(store).drop("run", [writer.head.commits[-1].id])
                repository(store).collect(lists=lists if remembering else None)
            rows = lists._rows.execute("SELECT count(*) FROM lists").fetchone()[0]
        assert watch.losses == []
        assert rows == (4 if remembering else 0)  # of what was deleted, nothing is kept
        kinds = [key.split("/")[-2] for key in store.server.objects if "-" in key]
        servers.append((kinds.count("packs"), kinds.count("manifests")))
    assert servers[0] == servers[1]


def test_a_row_that_was_changed_is_as_good_as_none(tmp_path):
    store = FakeStore()
    begun(store)
    path = tmp_path / "lists.db"
    with PackLists(path) as lists:
        assert read_by(store, lists) == 1
    for wrong in (b"", b"x" * 16, b"y" * 36, None):
        with sqlite3.connect(path) as rows:
            rows.execute("UPDATE lists SET packs = ?", (wrong,))
        rows.close()
        with PackLists(path) as lists:
            assert read_by(store, lists) == 1


def test_a_manifest_that_is_remembered_but_gone_still_ends_the_collection(tmp_path):
    store = FakeStore()
    writer = begun(store)
    with PackLists(tmp_path / "lists.db") as lists:
        read_by(store, lists)
        del store.server.objects[f"{PREFIX}runs/run/manifests/{writer.head.commits[0].manifest}"]
        with pytest.raises(Damaged):
            read_by(store, lists)
