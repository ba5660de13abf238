"""Ranks that hold other parts of a state store what one that holds it whole would."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.checkpoints import DeltaPolicy, HelperFailed, RankGone, Repository, RunWriter, Tensor
from storage.checkpoints.format.chunks import cut
from storage.checkpoints.sharded import ArrayShard, Box, share
from storage.checkpoints.sharded.boxes import chunk_box
from storage.objects import AccessDenied

from .collector import collect
from .fake_store import FakeStore, Fault, Request
from .ranks import Ranks
from .states import repository

Arrays = dict[str, np.ndarray]
CUTS = {"rows": (1,), "columns": (0, 1), "both": (2, 2), "whole": ()}
"""Ways to divide a matrix: parts along each axis; a 1 stands for as many as there are ranks."""


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.checkpoints.format.chunks.CHUNK_TARGET", 4096)
    monkeypatch.setattr(share, "ROUND", 3 * 4096)


def grid(shape: tuple[int, ...], parts: Sequence[int]) -> Iterator[Box]:
    """Boxes of about equal size, as many along each axis as `parts` says; some may be empty."""
    cuts = []
    for length, count in zip(shape, [*parts, *[1] * (len(shape) - len(parts))], strict=True):
        step = -(-length // count)
        cuts.append([(min(at * step, length), min((at + 1) * step, length)) for at in range(count)])
    for ends in product(*cuts):
        yield Box(tuple(a for a, _ in ends), tuple(b - a for a, b in ends))


def divided(arrays: Arrays, parts: dict[str, Sequence[int]], ranks: int) -> list[list[ArrayShard]]:
    """Shards by rank: the boxes of each tensor's grid are dealt out in turn."""
    found: list[list[ArrayShard]] = [[] for _ in range(ranks)]
    for name, array in arrays.items():
        for number, box in enumerate(grid(array.shape, parts[name][: array.ndim])):
            part = array[box.within(Box.whole(array.shape))]
            found[number % ranks].append(ArrayShard(name, array.shape, box.offsets, part))
    return found


def arrays_of(seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    made = {way: rng.standard_normal((61, 130)).astype(np.float32) for way in CUTS}
    return {**made, "empty": np.zeros((0, 3), np.float32), "small": rng.standard_normal((7, 3))}


def parts_for(ranks: int) -> dict[str, Sequence[int]]:
    ways = {way: [ranks if it == 1 else it or 1 for it in parts] for way, parts in CUTS.items()}
    return {**ways, "empty": [ranks], "small": [ranks]}


def plain(arrays: Arrays) -> dict[str, Tensor]:
    return {name: Tensor.from_numpy(array) for name, array in arrays.items()}


def alone(arrays: Arrays) -> tuple[str, Repository]:
    repo = repository(FakeStore())
    commit = RunWriter.create(repo, "run", "a1").save(plain(arrays), {"value 0": 0}, step=0)
    return commit.id, repo


def chunks_of(repo: Repository) -> list[dict[str, tuple[str, ...]]]:
    manifests = [repo.shelf.read_manifest("run", commit) for commit in repo.commits("run")]
    return [{name: it.chunks for name, it in manifest.tensors.items()} for manifest in manifests]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_commits_what_one_would(ranks):
    expected, other = alone(arrays_of())
    store = FakeStore()
    crew = Ranks(store, ranks)
    commit, *rest = crew.save(divided(arrays_of(), parts_for(ranks), ranks))
    assert commit.id == expected
    assert rest == [None] * (ranks - 1)
    repo = repository(store)
    assert chunks_of(repo) == chunks_of(other)
    assert repo.restore("run").tensors == plain(arrays_of())
    assert all(crew.packs_of(rank) for rank in range(ranks))


def test_another_world_and_sharding_store_nothing_again():
    store = FakeStore()
    Ranks(store, 1).save(divided(arrays_of(), parts_for(1), 1))
    for attempt, ranks in enumerate((3, 2, 4, 1)):
        crew = Ranks(store, ranks, f"b{attempt}", resume=True)
        commit, *_ = crew.save(divided(arrays_of(), parts_for(ranks), ranks), step=attempt + 1)
        assert commit.new_bytes == commit.manifest_bytes
        assert not any(crew.packs_of(rank) for rank in range(ranks))


def test_owners_of_a_matrix_in_columns_store_equal_shares():
    array = np.random.default_rng(1).standard_normal((512, 64)).astype(np.float32)
    store = FakeStore()
    crew = Ranks(store, 4)
    crew.save(divided({"w": array}, {"w": (1, 4)}, 4))
    sent = [sum(len(store.server.objects[key]) for key in crew.packs_of(rank)) for rank in range(4)]
    assert max(sent) < 1.1 * min(sent)


def test_rows_travel_only_where_a_chunk_crosses_ranks():
    array = np.random.default_rng(1).standard_normal((512, 64)).astype(np.float32)  # 16 rows a chunk
    for begin_of_second, travels in ((256, 0), (250, 2 * 6 * 256)):
        crew = Ranks(FakeStore(), 2)
        shards = [
            [ArrayShard("w", array.shape, (begin, 0), array[begin:end])]
            for begin, end in ((0, begin_of_second), (begin_of_second, 512))
        ]
        commit, none = crew.save(shards)
        assert commit.raw_bytes == array.nbytes
        assert none is None
        assert crew.wires.exchanged in (travels, 2 * 10 * 256 if travels else 0)  # to hash, and to store


@pytest.mark.parametrize("parts", [(3, 1), (1, 3), (2, 3)])
def test_a_rank_gathers_and_gives_no_more_than_a_round_at_once(parts):
    array = np.random.default_rng(1).standard_normal((603, 120)).astype(np.float32)
    crew = Ranks(FakeStore(), 3)
    assert crew.save(divided({"w": array}, {"w": parts}, 3))[1:] == [None, None]
    assert 0 < crew.wires.most <= share.ROUND + 4096 < array.nbytes / 10


def test_later_saves_store_differences_and_come_back():
    store = FakeStore()
    crew = Ranks(store, 3)
    arrays = arrays_of()
    rng = np.random.default_rng(5)
    raw = []
    for step in range(4):
        commit, *rest = crew.save(divided(arrays, parts_for(3), 3), step=step)
        assert rest == [None, None]
        raw.append(commit.new_bytes)
        assert repository(store).restore("run").tensors == plain(arrays)
        arrays = {
            name: it + (1e-4 * rng.standard_normal(it.shape)).astype(it.dtype) for name, it in arrays.items()
        }
    manifest = repository(store).shelf.read_manifest("run", repository(store).commits("run")[1])
    assert any(at.bases for at in manifest.locations.values())
    assert raw[1] < 0.8 * raw[0]


@pytest.mark.parametrize("limit", [0, 1.2, 2.0])
def test_a_restore_reads_no_more_than_the_policy_allows(limit):
    store = FakeStore()
    crew = Ranks(store, 2)
    crew.writer.deltas = DeltaPolicy(read_limit=limit)
    arrays, rng = arrays_of(), np.random.default_rng(5)
    for step in range(8):
        assert crew.save(divided(arrays, parts_for(2), 2), step=step)[1:] == [None]
        restored = repository(store).restore("run")
        assert restored.tensors == plain(arrays)
        assert restored.read_bytes <= max(limit, 1) * sum(it.nbytes for it in arrays.values())
        arrays = {
            name: it + (1e-4 * rng.standard_normal(it.shape)).astype(it.dtype) for name, it in arrays.items()
        }
    repo = repository(store)
    manifests = [repo.shelf.read_manifest("run", it) for it in repo.commits("run")]
    assert any(at.bases for it in manifests for at in it.locations.values()) == (limit > 1.2)


def test_tied_tensors_on_other_ranks_are_stored_once():
    array = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
    shards = [[ArrayShard(name, array.shape, (0, 0), array)] for name in ("first", "second")]
    store = FakeStore()
    crew = Ranks(store, 2)
    crew.save(shards)
    assert crew.packs_of(0)
    assert not crew.packs_of(1)
    assert repository(store).restore("run").tensors.keys() == {"first", "second"}


@pytest.mark.parametrize("failing", [0, 1])
def test_a_rank_that_cannot_take_part_fails_the_save_everywhere_and_the_next_one_works(failing):
    crew = Ranks(FakeStore(), 3)
    shards = divided(arrays_of(), parts_for(3), 3)
    found = crew.save(shards, errors={failing: AccessDenied("not I")})
    assert isinstance(found[failing], AccessDenied)
    assert all(isinstance(it, Exception) and "not I" in str(it) for it in found)
    assert crew.save(shards)[1:] == [None, None]


def test_a_rank_that_has_died_fails_the_save_on_the_others():
    crew = Ranks(FakeStore(), 3)
    found = crew.save(divided(arrays_of(), parts_for(3), 3), dead=1)
    assert isinstance(found[0], RankGone)
    assert isinstance(found[2], HelperFailed)
    assert crew.writer.head.commits == ()


def test_a_rank_that_dies_after_its_report_fails_the_save_on_the_others_before_any_of_them_waits_in_vain():
    crew = Ranks(FakeStore(), 3)
    wire = crew.savers[2]._group

    def die(rank: int) -> bytes:
        crew.wires.gone = {2}
        for other in (0, 1):
            crew.wires.queues[2, other].put(None)
        raise RankGone("that is me")

    wire.receive = die
    began = time.monotonic()
    found = crew.save(divided(arrays_of(), parts_for(3), 3))
    assert isinstance(found[0], RankGone)
    assert isinstance(found[1], RankGone | HelperFailed)
    assert crew.writer.head.commits == ()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("message", ["tensors", "inline", "locations"])
@pytest.mark.parametrize("nonsense", [b"{", b"{}", b"\xff", None])
def test_a_rank_that_sends_nonsense_fails_the_save_everywhere_and_the_next_one_works(message, nonsense):
    store = FakeStore()
    crew = Ranks(store, 3)
    wire = crew.savers[1]._group
    send = wire.send

    def garbled(rank: int, sent: bytes) -> None:
        if rank == 0 and bytes(sent[:2]) == b'{"' and (told := json.loads(sent)).get(message) is not None:
            emptied = json.dumps(told | {"chunks": []} if message == "inline" else told | {message: [1]})
            sent = emptied.encode() if nonsense is None else nonsense
        send(rank, sent)

    wire.send = garbled
    shards = divided(arrays_of(), parts_for(3), 3)
    found = crew.save(shards, step=1)
    assert all(isinstance(it, HelperFailed) for it in found), found
    assert crew.writer.head.commits == ()
    wire.send = send
    assert crew.save(shards, step=2)[1:] == [None, None]
    assert repository(store).restore("run").commit.step == 2


def test_a_rank_whose_values_cannot_be_told_fails_the_save_everywhere_and_the_next_one_works():
    crew = Ranks(FakeStore(), 3)
    shards = divided(arrays_of(), parts_for(3), 3)
    crew.values[1] = {"loss": float("nan")}
    found = crew.save(shards)
    assert isinstance(found[1], ValueError)
    assert all("canonical JSON" in str(it) for it in found)
    crew.values.clear()
    assert crew.save(shards)[1:] == [None, None]


@pytest.mark.parametrize("refused", [0, 1])
def test_a_rank_that_may_not_write_fails_the_save_everywhere_and_the_next_one_works(refused):
    store = FakeStore()
    crew = Ranks(store, 3)

    def refuse(request: Request) -> None:
        if request.verb == "put" and "/packs/" in request.key:
            raise AccessDenied("you may not write there")

    crew.stores[refused].fault = refuse
    shards = divided(arrays_of(), parts_for(3), 3)
    found = crew.save(shards)
    assert isinstance(found[refused], AccessDenied)
    assert all(isinstance(it, HelperFailed) for rank, it in enumerate(found) if rank != refused)
    assert all("you may not write there" in str(it) for it in found)
    crew.stores[refused].fault = lambda request: None
    assert crew.save(shards)[1:] == [None, None]
    assert repository(store).restore("run").tensors == plain(arrays_of())


def test_shards_that_do_not_make_up_a_tensor_are_refused():
    array = np.zeros((64, 64), np.float32)
    for end, begin in ((30, 32), (34, 32)):
        shards = [
            [ArrayShard("w", array.shape, (0, 0), array[:end])],
            [ArrayShard("w", array.shape, (begin, 0), array[begin:])],
        ]
        found = Ranks(FakeStore(), 2).save(shards)
        assert all("the shards of 'w' hold" in str(it) for it in found)


def test_ranks_that_mean_other_tensors_by_one_name_are_refused():
    shards = [
        [ArrayShard("w", (4,), (0,), np.zeros(2, np.float32))],
        [ArrayShard("w", (4,), (2,), np.zeros(2, np.float64))],
    ]
    found = Ranks(FakeStore(), 2).save(shards)
    assert all("float64 [4] on rank 1" in str(it) for it in found)


def test_packs_of_any_rank_that_a_collection_condemns_meanwhile_are_stored_again():
    store = FakeStore()
    crew = Ranks(store, 3)
    shards = divided(arrays_of(), parts_for(3), 3)
    crew.save(divided(arrays_of(8), parts_for(3), 3))
    condemned: list[str] = []

    def between(request: Request) -> Fault | None:
        if "/manifests/" in request.key and request.verb == "put" and not condemned:
            condemned.extend(it for rank in (1, 2) for it in crew.packs_of(rank)[-1:])
            store.fault = lambda request: None
            collect(FakeStore(store.server))  # deletes what no head names
            assert not set(condemned) & store.server.objects.keys()
        return None

    crew.writer.mark_damaged(())  # an edit of the head: the next save looks at collections
    store.fault = between
    assert crew.save(shards, step=1)[1:] == [None, None]
    assert len(condemned) == 2
    assert repository(store).restore("run").tensors == plain(arrays_of())


@given(
    shape=st.lists(st.integers(1, 9), min_size=0, max_size=3).map(tuple),
    target=st.integers(1, 40),
    limit=st.integers(8, 60),
)
def test_the_box_of_a_chunk_holds_its_elements_in_order(shape, target, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.checkpoints.format.chunks.CHUNK_TARGET", target)
        patch.setattr("storage.checkpoints.format.chunks.CHUNK_LIMIT", limit)
        numbers = np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)
        begin = 0
        for size in cut("int64", shape):
            box = chunk_box(shape, begin // 8, size // 8)
            part = numbers[box.within(Box.whole(shape))]
            assert part.reshape(-1).tolist() == list(range(begin // 8, (begin + size) // 8))
            assert box.ends(shape) == (begin // 8, (begin + size) // 8 - 1)
            begin += size


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shapes=st.lists(st.lists(st.integers(1, 40), min_size=0, max_size=3).map(tuple), min_size=1, max_size=3),
    parts=st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=3), min_size=3, max_size=3),
    ranks=st.integers(1, 4),
    target=st.integers(1024, 5000),
)
def test_any_boxes_on_any_ranks_commit_what_one_would(shapes, parts, ranks, target):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.checkpoints.format.chunks.CHUNK_TARGET", target)
        patch.setattr("storage.checkpoints.format.chunks.CHUNK_LIMIT", 2 * target)
        patch.setattr(share, "ROUND", 2 * target)
        rng = np.random.default_rng(0)
        arrays = {f"t{at}": rng.integers(0, 99, shape, np.int32) for at, shape in enumerate(shapes)}
        ways = {name: parts[at] for at, name in enumerate(arrays)}
        expected, _ = alone(arrays)
        store = FakeStore()
        commit, *rest = Ranks(store, ranks).save(divided(arrays, ways, ranks))
        assert rest == [None] * (ranks - 1)
        assert commit.id == expected
        assert repository(store).restore("run").tensors == plain(arrays)
