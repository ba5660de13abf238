"""A hostile repository can fail a restore. It cannot run code, lead elsewhere, or exhaust the host."""

import json
import math
import pickle
import tracemalloc
from contextlib import nullcontext
from dataclasses import replace

import pytest

from storage.checkpoints import CommitMissing, Damaged, Repository, Tensor, TooLarge, UnsupportedRepository
from storage.checkpoints.errors import CheckpointError
from storage.checkpoints.format import canonical
from storage.checkpoints.format.chunks import chunk_id
from storage.checkpoints.format.head import HEAD_LIMIT, PAGES_LIMIT, Head
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import object_name
from storage.checkpoints.restore import decoding, reading, rows
from storage.checkpoints.restore.decoding import Decoder
from storage.checkpoints.restore.fetching import AHEAD_BYTES
from storage.checkpoints.restore.spans import SPAN_LIMIT
from storage.host_memory import memory

from .collector import PREFIX
from .fake_store import FakeStore
from .states import begun, state

BIG = Tensor("uint8", (5000,), bytes(range(250)) * 20)


@pytest.fixture
def store() -> FakeStore:
    store = FakeStore()
    writer = begun(store)
    writer.save({**state(w=1), "tiny": Tensor("int64", (), bytes(8)), "a/b": BIG}, {"step": 1}, step=1)
    store.writer = writer
    return store


def manifest_of(store: FakeStore) -> tuple[str, dict]:
    commit = store.writer.head.commits[-1]
    key = f"{PREFIX}runs/run/manifests/{commit.manifest}"
    return key, json.loads(store.server.objects[key])


def put(*path, value):
    def change(target):
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return change


def drop(*path):
    def change(target):
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]

    return change


HOSTILE_MANIFESTS = {
    "name leads out": lambda m: m["tensors"].update({"../../etc/passwd": m["tensors"].pop("w")}),
    "name is absolute": lambda m: m["tensors"].update({"/etc/passwd": m["tensors"].pop("w")}),
    "name has a control character": lambda m: m["tensors"].update({"w\x00": m["tensors"].pop("w")}),
    "name is empty": lambda m: m["tensors"].update({"": m["tensors"].pop("w")}),
    "name is endless": lambda m: m["tensors"].update({"w" * 2000: m["tensors"].pop("w")}),
    "pack leads out": put("packs", 0, 0, value="../runs/run/head"),
    "pack name is a number": put("packs", 0, 0, value=7),
    "pack is larger than any": put("packs", 0, 1, value=2**40),
    "pack is there twice": lambda m: m["packs"].append(m["packs"][0]),
    "no packs": put("packs", value=[]),
    "shape does not fit": put("tensors", "w", "shape", value=[8, 63]),
    "shape is endless": put("tensors", "w", "shape", value=[2**61]),
    "shape overflows": put("tensors", "w", "shape", value=[2**62, 2**62]),
    "shape is negative": put("tensors", "w", "shape", value=[-8, -64]),
    "shape is no integer": put("tensors", "w", "shape", value=[8.0, 64]),
    "shape is true": put("tensors", "w", "shape", value=[True, 512]),
    "shape has many axes": put("tensors", "w", "shape", value=[1] * 40 + [512]),
    "gate block of zero rows": put("tensors", "w", "block_rows", value=0),
    "gate blocks do not fit": put("tensors", "w", "block_rows", value=1),
    "inlined bytes of another size": put("tensors", "tiny", "inline", value="AAAA"),
    "inlined bytes are no base64": put("tensors", "tiny", "inline", value="AAAAAAAAA!=="),
    "inlined and chunked": put("tensors", "w", "inline", value=""),
    "neither inlined nor chunked": drop("tensors", "w", "chunks"),
    "chunk number is negative": put("tensors", "w", "chunks", value=[-1]),
    "chunk number is too large": put("tensors", "w", "chunks", value=[99]),
    "chunk of another tensor": put("tensors", "w", "chunks", value=[0]),
    "one chunk too many": lambda m: m["tensors"]["w"]["chunks"].append(0),
    "chunk id is no hash": put("chunks", 0, 0, value="x" * 64),
    "chunk is there twice": lambda m: m["chunks"].append(m["chunks"][0]),
    "chunk in no pack": put("chunks", 0, 1, value=5),
    "chunk beyond its pack": put("chunks", 0, 2, value=10**6),
    "chunk is larger than its pack": put("chunks", 0, 3, value=10**6),
    "codec is no text": put("chunks", 0, 4, value=None),
    "meta is a list": put("meta", value=[]),
    "meta has changed": put("meta", "step", value=2),
    "step has changed": put("step", value=2),
    "step is a fraction": put("step", value=1.5),
    "a field too many": put("pickle", value="gANj"),
    "a field too few": drop("run"),
    "tensors are a list": put("tensors", value=[]),
}


@pytest.mark.parametrize("what", HOSTILE_MANIFESTS)
def test_hostile_manifest_is_refused(store, what):
    key, manifest = manifest_of(store)
    HOSTILE_MANIFESTS[what](manifest)
    data = canonical.dumps(manifest)
    store.server.objects[key] = data
    commit = replace(store.writer.head.commits[-1], manifest_bytes=len(data))
    with pytest.raises(Damaged):
        store.writer.repository.shelf.read_manifest("run", commit)


def test_intact_manifest_is_accepted(store):
    _, manifest = manifest_of(store)
    parsed = Manifest.from_bytes(canonical.dumps(manifest), "manifest")
    assert parsed.commit_id == store.writer.head.commits[-1].id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[" * 10**6,
        pickle.dumps({"a": 1}),
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
)
def test_what_is_no_manifest_or_head_is_damaged(data):
    for parse in (Manifest.from_bytes, Head.from_bytes):
        with pytest.raises(Damaged, match="thing"):
            parse(data, "thing")


def test_values_of_a_newer_version_are_told_apart_from_damage(store):
    for change in (put("chunks", 0, 4, value="xor"), put("tensors", "w", "dtype", value="float4")):
        _, manifest = manifest_of(store)
        change(manifest)
        with pytest.raises(UnsupportedRepository, match="newer version"):
            Manifest.from_bytes(canonical.dumps(manifest), "manifest")


def test_one_chunk_named_very_often_cannot_exhaust_memory(store):
    """A dedup bomb: a small manifest of a tensor larger than this host."""
    row, rows = 2**24, 10**5
    store.writer.save({"zeros": Tensor("uint8", (1, row), bytes(row))}, {}, step=2)
    key, manifest = manifest_of(store)
    manifest["tensors"]["zeros"] = {"dtype": "uint8", "shape": [rows, row], "chunks": [0] * rows}
    data = canonical.dumps(manifest)
    parsed = Manifest.from_bytes(data, "manifest")
    commit = store.writer.head.commits[-1]
    head = json.loads(store.server.objects[f"{PREFIX}runs/run/head"])
    head["commits"][-1] |= {
        "id": parsed.commit_id,
        "manifest": [commit.manifest, len(data)],
        "raw_bytes": parsed.raw_bytes,
    }
    store.server.objects[f"{PREFIX}runs/run/head"] = canonical.dumps(head)
    store.server.objects[key] = data
    with pytest.raises(TooLarge, match=str(row * rows)):
        store.writer.repository.restore("run")


HOSTILE_HEADS = {
    "manifest leads out": put("commits", 0, "manifest", 0, value="../../../packs/x"),
    "manifest is larger than any": put("commits", 0, "manifest", 1, value=2**40),
    "id is no hash": put("commits", 0, "id", value="../x"),
    "commit is there twice": lambda h: h["commits"].append(h["commits"][0]),
    "step is negative": put("commits", 0, "step", value=-1),
    "metric is a text": put("commits", 0, "metrics", value={"loss": "low"}),
    "metric is beyond any float": put("commits", 0, "metrics", value={"loss": 10**400}),
    "metric is true": put("commits", 0, "metrics", value={"loss": True}),
    "tag is a number": put("commits", 0, "tags", value=[1]),
    "writer leads out": put("writer", value="../a"),
    "parent leads out": put("parent", value={"run": "..", "commit": "x"}),
    "page leads out": put("pages", value=[["../../x", 10]]),
    "page is there twice": put("pages", value=[["00000000-" + "a" * 32, 10]] * 2),
    "pin is a number": put("commits", 0, "pins", value=[1]),
    "pins are a text": put("commits", 0, "pins", value="me"),
    "note is endless": put("commits", 0, "note", value="x" * 2000),
    "version is a fraction": put("version", value=1.0),
    "damaged is a number": put("commits", 0, "damaged", value=0),
    "a field too many": put("more", value=1),
}


@pytest.mark.parametrize("what", HOSTILE_HEADS)
def test_hostile_head_is_refused(store, what):
    key = f"{PREFIX}runs/run/head"
    head = json.loads(store.server.objects[key])
    HOSTILE_HEADS[what](head)
    store.server.objects[key] = canonical.dumps(head)
    with pytest.raises(Damaged):
        store.writer.repository.restore("run")


@pytest.mark.parametrize("key", ["repository.json", "runs/run/head", "collections/00000001"])
def test_an_object_that_is_larger_than_any_of_its_kind_is_not_read(store, key, monkeypatch):
    """Asked of the store, which looks at the length that its server tells: see test_objects."""
    store.writer.repository.shelf.create_collection(1, ())
    monkeypatch.setattr("storage.checkpoints.format.shelf.HEAD_LIMIT", 2**20)
    monkeypatch.setattr("storage.checkpoints.format.shelf.COLLECTION_LIMIT", 2**20)
    store.server.objects[PREFIX + key] += b" " * 2**20

    def read() -> None:
        repository = Repository.open(store, PREFIX)
        repository.head("run")
        repository.shelf.condemned(1, 1)

    with pytest.raises(Damaged, match=f"{key} is larger than any such object"):
        read()


@pytest.mark.parametrize("limit", [4096, 1 << 60])
def test_a_container_that_may_have_less_than_its_host_counts(store, tmp_path, monkeypatch, limit):
    (tmp_path / "memory.max").write_text(str(limit))
    (tmp_path / "own").write_text("0::/")
    found = memory(tmp_path, tmp_path / "own")
    for module in (decoding, reading, rows):
        monkeypatch.setattr(module, "memory", lambda: found)
    repository, commit = store.writer.repository, store.writer.head.commits[-1]
    reads = (
        lambda: repository.restore("run", names=["a/b"]),
        lambda: repository.restore_rows("run", commit.id, [rows.Rows("a/b")]),
    )
    for read in reads:
        with pytest.raises(TooLarge, match="4096") if limit == 4096 else nullcontext():
            read()


def test_bytes_between_chunks_do_not_pile_up_in_memory(store):
    """A gap bomb: tiny chunks, each as far from the next one as a reader reads on over gaps."""
    row = 2**17
    pack = "00000000-" + "a" * 32
    stored, locations, kinds = bytearray(2**27), {}, {}
    for number, begin in enumerate(range(0, len(stored), row)):
        raw = number.to_bytes(2, "little")
        stored[begin : begin + 2] = raw
        chunk = chunk_id("uint8", raw)
        locations[chunk], kinds[chunk] = Location(pack, begin, len(raw), "raw"), ("uint8", len(raw))
    store.server.objects[f"{PREFIX}packs/{pack}"] = bytes(stored)
    decoder = Decoder(store.writer.repository.shelf.files, locations)
    tracemalloc.start()
    found = list(decoder.decode(kinds))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(it.trouble is None for it in found)
    assert most < AHEAD_BYTES + 2 * SPAN_LIMIT < decoder.read_bytes


def test_bytes_that_changed_in_a_pack_are_found_unless_they_mean_nothing(store):
    """A frame of zstd has a few bits that no decoder looks at; what is restored is right all the same."""
    repository = store.writer.repository
    commit = store.writer.head.commits[-1]
    manifest = repository.shelf.read_manifest("run", commit)
    whole, places, found = repository.restore("run", commit.id).tensors, 0, 0
    for at in manifest.locations.values():
        key = f"{PREFIX}packs/{at.pack}"
        intact = store.server.objects[key]
        for place in range(at.offset, at.offset + at.size, 97):
            rotten = bytearray(intact)
            rotten[place] ^= 0x10
            store.server.objects[key] = bytes(rotten)
            places += 1
            try:
                assert repository.restore("run", commit.id).tensors == whole
            except Damaged:
                found += 1
        store.server.objects[key] = intact
    assert found > 0.95 * places > 0
    assert repository.restore("run").commit.id == commit.id


def head_with_pages(store: FakeStore, pages: list[list[object]]) -> None:
    key = f"{PREFIX}runs/run/head"
    head = json.loads(store.server.objects[key])
    head["pages"] = pages
    store.server.objects[key] = canonical.dumps(head)


def page_names(count: int) -> list[str]:
    return [object_name(0, f"{number:032x}") for number in range(count)]


def test_a_head_that_names_very_many_pages_is_refused_before_one_is_read(store):
    head_with_pages(store, [[name, 100] for name in page_names(PAGES_LIMIT + 1)])
    with pytest.raises(Damaged, match="names 50001 pages, more than 50000"):
        store.writer.repository.commits("run")


def test_pages_that_exceed_this_hosts_memory_are_refused_before_one_is_read(store):
    opened = store.writer.repository
    newest = opened.commits("run")[-1]
    count = memory().total // (4 * HEAD_LIMIT) + 1
    head_with_pages(store, [[name, HEAD_LIMIT] for name in page_names(count)])
    for ask in (opened.commits, lambda run: opened.restore(run, newest.id[:8])):
        with pytest.raises(TooLarge, match=f"the {count} pages of run 'run' have"):
            ask("run")
    assert opened.restore("run", newest.id).commit == newest
    assert opened.restore("run").commit == newest


def test_a_page_that_has_fewer_bytes_than_its_head_says_is_refused(store):
    (name,) = page_names(1)
    head_with_pages(store, [[name, HEAD_LIMIT]])
    store.server.objects[f"{PREFIX}runs/run/pages/{name}"] = b'{"commits":[]}'
    with pytest.raises(Damaged, match="cut short"):
        store.writer.repository.commits("run")


def test_unknown_tensor_is_refused_by_name(store):
    with pytest.raises(CommitMissing, match=r"'nothing'.*a/b, tiny, w"):
        store.writer.repository.restore("run", names=["nothing"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_metrics_that_are_not_finite_come_back(store, value):
    commit = store.writer.save(state(w=5), {}, step=5, metrics={"loss": value, "other": 1})
    back = store.writer.repository.head("run").find(commit.id).metrics
    assert repr(back) == repr({"loss": value, "other": 1.0})


@pytest.mark.parametrize("run", ["", ".", "..", "a/b", "a b", "-a", "ä", "a" * 129, "a\n", "a/../b"])
def test_names_that_could_lead_elsewhere_are_refused(store, run):
    repository = store.writer.repository
    for attempt in (
        lambda: repository.head(run),
        lambda: repository.restore(run),
        lambda: repository.fork("run", "newest", run, "b1"),
        lambda: type(store.writer).create(repository, run, "b1"),
        lambda: type(store.writer).create(repository, "fine", run),
        lambda: type(store.writer).take_over(repository, "run", run),
    ):
        with pytest.raises(CheckpointError, match="must be 1 to 128"):
            attempt()
