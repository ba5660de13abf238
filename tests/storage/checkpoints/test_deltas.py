"""Saves rest on earlier ones where that stores less, within bounds, and come back bit for bit."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from storage.checkpoints import EVERY_STEP, Damaged, DeltaPolicy, Repository, RunWriter, Tensor, TooLarge
from storage.checkpoints.format import canonical
from storage.checkpoints.format.chunks import cut
from storage.checkpoints.format.closure import with_bases
from storage.checkpoints.format.locations import DEPTH_LIMIT
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.restore import decoding, fetching
from storage.checkpoints.restore.decoding import Decoder
from storage.checkpoints.save.delta_policy import chain_limit

from .adam import states
from .collector import PREFIX
from .fake_store import FakeStore
from .schedules import play
from .states import repository


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def repo(store: FakeStore) -> Repository:
    return repository(store)


def saved(repo: Repository, count: int, *, stride: int = 1, policy: DeltaPolicy | None = None) -> RunWriter:
    writer = RunWriter.create(repo, "run", "a1")
    if policy is not None:
        writer.deltas = policy
    for number, (tensors, hints) in enumerate(islice(states(count * stride), 0, None, stride)):
        writer.save(tensors, {}, step=number, hints=hints)
    return writer


def codecs(repo: Repository, number: int) -> dict[str, str]:
    """By tensor."""
    manifest = repo.shelf.read_manifest("run", repo.commits("run")[number])
    return {name: manifest.locations[it.chunks[0]].codec for name, it in manifest.tensors.items()}


def test_a_schedule_that_has_moved_on_before_the_save_does_not_spoil_the_replay():
    """The last hint has the rate and betas of the next step; the step's were told with the state before."""
    stored = {}
    for name, changes in (("steady", {}), ("scheduled", {"learning_rate": 3e-4, "beta1": 0.85})):
        repo = repository(FakeStore())
        writer = RunWriter.create(repo, "run", "a1")
        for number, (tensors, (hint,)) in enumerate(states(3)):
            told = replace(hint, **changes) if number == 2 else hint
            commit = writer.save(tensors, {}, step=number, hints=[told])
        stored[name] = commit.new_bytes - commit.manifest_bytes
        assert repo.restore("run").tensors == tensors
    assert stored["scheduled"] == stored["steady"] < 0.4 * commit.raw_bytes


def test_states_come_back_bit_for_bit_and_adjacent_ones_are_replayed(repo):
    saved(repo, 5)
    for commit, (tensors, _) in zip(repo.commits("run"), states(5), strict=True):
        assert repo.restore("run", commit.id).tensors == tensors
    assert codecs(repo, 3) == {"m": "split", "v": "second-moment", "w": "adam"}


def test_a_replayed_weight_stores_next_to_nothing(repo):
    saved(repo, 3)
    manifest = repo.shelf.read_manifest("run", repo.commits("run")[2])
    sizes = {name: manifest.locations[it.chunks[0]].size for name, it in manifest.tensors.items()}
    assert sizes["w"] < 0.01 * 64 * 64 * 4
    assert sizes["v"] < 0.1 * 64 * 64 * 4


def test_saves_that_are_further_apart_store_less_than_states_alone(repo, store):
    saved(repo, 4, stride=10)
    other = repository(FakeStore())
    saved(other, 4, stride=10, policy=DeltaPolicy(read_limit=0))
    ours, alone = ([it.new_bytes for it in one.commits("run")[1:]] for one in (repo, other))
    assert sum(ours) < 0.95 * sum(alone)
    for commit, (tensors, _) in zip(repo.commits("run"), islice(states(40), 0, None, 10), strict=True):
        assert repo.restore("run", commit.id).tensors == tensors


@pytest.mark.parametrize("policy", [DeltaPolicy(), EVERY_STEP, DeltaPolicy(read_limit=1.5)])
def test_a_restore_reads_no_more_than_the_policy_allows(repo, policy):
    saved(repo, 40, policy=policy)
    reads = [repo.restore("run", it.id) for it in repo.commits("run")]
    assert max(it.read_bytes / it.commit.raw_bytes for it in reads) <= policy.read_limit
    keyframes = sum(codecs(repo, number)["w"] != "adam" for number in range(40))
    # a keyframe reads 0.95, each save after it 0.35 at most; of the next one a quarter more is expected
    apart = 1 + (policy.read_limit - 0.95) // (0.35 * 5 / 4)
    assert keyframes <= 1 + 40 / min(apart, 1 + chain_limit(64 * 64 * 4, stage=2))


def test_a_state_that_shrinks_to_what_rests_on_much_is_read_within_the_bound(repo):
    """A large part that stays allows the small one a long chain, which is then all that is left."""
    drawn = np.random.default_rng(5)
    still = Tensor.from_numpy(drawn.standard_normal((8, 2**15)).astype(np.float32))
    start = drawn.standard_normal((2, 2**15)).astype(np.float32)
    writer = RunWriter.create(repo, "run", "a1")
    for step in range(14):
        start = start + np.float32(1e-4) * drawn.standard_normal(start.shape).astype(np.float32)
        writer.save({"still": still, "small": Tensor.from_numpy(start)}, {}, step=step)
    small = {"small": Tensor.from_numpy(start)}
    for step in (14, 15):
        commit = writer.save(small, {"step": step}, step=step)
        restored = repo.restore("run", commit.id)
        assert restored.tensors == small
        assert restored.read_bytes <= writer.deltas.read_limit * restored.commit.raw_bytes
    assert commit.new_bytes == commit.manifest_bytes, "it is stored anew once"


def test_chains_of_small_chunks_are_shorter_for_every_manifest_names_all_their_links(repo):
    writer = RunWriter.create(repo, "run", "a1")
    writer.deltas = DeltaPolicy(read_limit=100.0)
    for number, (tensors, hints) in enumerate(states(30, rows=12)):
        writer.save(tensors, {}, step=number, hints=hints)
    longest = chain_limit(12 * 64 * 4, stage=2)
    assert longest == 6
    for commit in repo.commits("run"):
        locations, chains = repo.shelf.read_manifest("run", commit).locations, {}
        with_bases(locations, locations, chains)
        assert max(it.links for it in chains.values()) <= longest
    assert sum(codecs(repo, number)["w"] == "adam" for number in range(30)) >= 20


def test_without_deltas_nothing_rests_on_anything(repo):
    saved(repo, 3, policy=DeltaPolicy(read_limit=0))
    for commit in repo.commits("run"):
        manifest = repo.shelf.read_manifest("run", commit)
        assert not any(at.bases for at in manifest.locations.values() if at.codec != "split-by")


def test_a_resumed_run_goes_on_with_deltas(repo):
    saved(repo, 3)
    writer = RunWriter.take_over(repo, "run", "a2")
    restored = writer.resume()
    assert restored.commit.step == 2
    *_, (tensors, hints) = states(4)
    writer.save(tensors, {}, step=3, hints=hints)
    assert codecs(repo, 3) == {"m": "split", "v": "second-moment", "w": "adam"}
    assert repo.restore("run").tensors == tensors


def test_one_tensor_alone_reads_only_what_it_rests_on(repo):
    saved(repo, 4)
    whole = repo.restore("run").read_bytes
    first_moment = repo.restore("run", names=["m"])
    assert first_moment.tensors == {"m": repo.restore("run").tensors["m"]}
    assert first_moment.read_bytes < 0.95 * whole


def test_a_repository_of_format_1_is_written_as_its_programs_read_it(store):
    store.server.objects[PREFIX + "repository.json"] = canonical.dumps({"encryption": None, "format": 1})
    repo = repository(store)
    saved(repo, 3)
    for number in range(3):
        assert set(codecs(repo, number).values()) <= {"raw", "zstd", "planes-zstd"}


def test_a_damaged_base_damages_what_rests_on_it_and_verify_names_every_commit(repo, store):
    saved(repo, 3)
    first = repo.commits("run")[0]
    (pack,) = repo.shelf.read_manifest("run", first).packs
    key = f"{PREFIX}packs/{pack}"
    data = bytearray(store.server.objects[key])
    data[len(data) // 2] ^= 1
    store.server.objects[key] = bytes(data)
    report = repo.verify(deep=True)
    assert {it.step for it in report.findings} == {0, 1, 2}
    with pytest.raises(Damaged):
        repo.restore("run", repo.commits("run")[2].id)


def entry(chunk: int, number: int, codec: str = "raw", *prediction: object) -> list[object]:
    return [f"{chunk:064x}", 0, number * 4096, 4096, codec, *prediction]


def manifest_of(*entries: list[object]) -> bytes:
    return canonical.dumps(
        {
            "attempt": "a",
            "chunks": list(entries),
            "created": "now",
            "meta": {},
            "packs": [["00000000-" + "0" * 32, 2**20]],
            "run": "run",
            "step": 0,
            "tensors": {"t": {"chunks": [len(entries) - 1], "dtype": "float32", "shape": [1024]}},
        }
    )


HOSTILE = {
    "from itself": [entry(1, 0, "difference", [0], [])],
    "from a later one": [entry(1, 0, "difference", [1], []), entry(2, 1)],
    "from too many": [entry(1, 0), entry(2, 1, "difference", [0, 0], [])],
    "without bases": [entry(1, 0), entry(2, 1, "difference")],
    "bases of a codec that has none": [entry(1, 0), entry(2, 1, "raw", [0], [])],
    "scalars that are none": [entry(1, 0), entry(2, 1, "second-moment-decayed", [0, 0], ["zz"])],
    "a chunk of nobody": [entry(1, 0), entry(2, 1)],
    "too deep": [entry(1, 0), *(entry(it + 2, 1, "difference", [it], []) for it in range(DEPTH_LIMIT + 1))],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_predictions_are_refused(name):
    with pytest.raises(Damaged):
        Manifest.from_bytes(manifest_of(*HOSTILE[name]), "it")


def test_a_chain_at_the_limit_is_read():
    chain = [entry(1, 0), *(entry(it + 2, 1, "difference", [it], []) for it in range(DEPTH_LIMIT))]
    assert len(Manifest.from_bytes(manifest_of(*chain), "it").locations) == DEPTH_LIMIT + 1


def test_a_dtype_that_a_predictor_cannot_compute_is_refused():
    data = manifest_of(entry(1, 0), entry(2, 1, "adam", [0, 0, 0], ["3ff0000000000000"] * 4))
    with pytest.raises(Damaged, match="holds no int32"):
        Manifest.from_bytes(data.replace(b"float32", b"int32"), "it")


def test_tensors_that_swap_their_bytes_make_no_circle(repo):
    writer = RunWriter.create(repo, "run", "a1")
    (first, _), (second, _) = states(2)
    for step, (a, b) in enumerate([("w", "m"), ("m", "w"), ("w", "m"), ("m", "w")]):
        state = {"w": Tensor("float32", (64, 64), first[a].data), "m": second[b]}
        writer.save(state, {"step": step}, step=step)
        assert repo.restore("run").tensors == state


def test_after_a_resume_the_bound_on_reads_still_holds(repo):
    writer = saved(repo, 7)  # the next one would be a keyframe
    assert codecs(repo, 6)["w"] == "adam"
    again = RunWriter.take_over(repo, "run", "a2")
    again.resume()
    *_, (tensors, hints) = states(8)
    again.save(tensors, {}, step=7, hints=hints)
    assert repo.restore("run").read_bytes <= writer.deltas.read_limit * repo.restore("run").commit.raw_bytes


def test_a_commit_that_rests_on_more_than_this_host_holds_is_refused(repo, store, monkeypatch):
    saved(repo, 3)
    monkeypatch.setattr(decoding, "memory", lambda: SimpleNamespace(total=40_000))
    with pytest.raises(TooLarge, match="rest on each other"):
        repo.restore("run", names=["w"])


def test_drawn_schedules_are_about_saves_that_rest_on_others():
    opened = repository(FakeStore(play(0).simulation.server))
    manifests = [opened.shelf.read_manifest(run, it) for run in opened.runs() for it in opened.commits(run)]
    assert any(at.bases for manifest in manifests for at in manifest.locations.values())


def test_a_restore_fetches_so_many_bytes_ahead_of_what_it_decodes_and_no_more(repo, monkeypatch):
    monkeypatch.setattr(decoding, "BATCH_BYTES", 1)  # each family of chunks is a batch
    rng = np.random.default_rng(0)
    tensors = {f"t{number}": Tensor.from_numpy(rng.standard_normal(20_000)) for number in range(9)}
    RunWriter.create(repo, "run", "a1").save(tensors, {}, step=0)
    manifest = repo.shelf.read_manifest("run", repo.commits("run")[0])
    wanted = {it.chunks[0]: ("float64", it.nbytes) for it in manifest.tensors.values()}
    sizes = [manifest.locations[chunk].size for chunk in wanted]
    monkeypatch.setattr(fetching, "AHEAD_BYTES", 3 * max(sizes))
    asked, get_parts = [], repo.shelf.files.get_parts
    monkeypatch.setattr(repo.shelf.files, "get_parts", lambda *it: asked.append(it) or get_parts(*it))
    decoder = Decoder(repo.shelf.files, manifest.locations)
    decoded = decoder.decode(wanted)
    seen = {next(decoded).chunk}
    assert 1 <= len(asked) <= 1 + 3  # what is decoded, and three ahead
    assert seen | {it.chunk for it in decoded} == wanted.keys()
    assert decoder.read_bytes == sum(sizes)


def test_chunks_go_to_the_memory_of_who_asks_and_are_read_once(repo):
    rng = np.random.default_rng(0)
    before = {"w": Tensor.from_numpy(rng.standard_normal(300_000).astype(np.float32))}
    after = {"w": Tensor.from_numpy(before["w"].to_numpy() + np.float32(1e-6))}
    writer = RunWriter.create(repo, "run", "a1")
    writer.save(before, {}, step=0)
    manifest = repo.shelf.read_manifest("run", writer.save(after, {}, step=1))
    assert any(at.bases for at in manifest.locations.values())
    room = np.zeros(after["w"].nbytes, np.uint8)
    begin, wanted, targets = 0, {}, {}
    for chunk, size in zip(manifest.tensors["w"].chunks, cut("float32", (300_000,)), strict=True):
        wanted[chunk], targets[chunk] = ("float32", size), room[begin : begin + size]
        begin += size
    decoder = Decoder(repo.shelf.files, manifest.locations)
    found = list(decoder.decode(wanted, targets))
    assert room.tobytes() == after["w"].data
    assert {it.chunk for it in found} == wanted.keys()
    assert all(np.shares_memory(np.frombuffer(it.raw, np.uint8), targets[it.chunk]) for it in found)
    assert decoder.read_bytes >= sum(at.size for at in manifest.locations.values())


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 0},
        {"step": -3},
        {"learning_rate": 1e300, "weight_decay": 1e300},
        {"beta2": 1e200},
        {"beta1": 1.0},
        {"beta2": 2.0, "step": 5},
        {"learning_rate": float("nan")},
        {"beta1": float("inf")},
    ],
    ids=str,
)
def test_a_wrong_hint_costs_bytes_only(repo, wrong, stride):
    writer = RunWriter.create(repo, "run", "a1")
    for number, (tensors, hints) in enumerate(islice(states(3 * stride), 0, None, stride)):
        told = hints if number == 0 else [replace(hint, **wrong) for hint in hints]
        commit = writer.save(tensors, {}, step=number * stride, hints=told)
        assert repo.restore("run", commit.id).tensors == tensors


def test_a_wrong_hint_after_a_resume_costs_bytes_only(repo):
    (before, _), (after, hints) = list(states(2))
    RunWriter.create(repo, "run", "a1").save(before, {}, step=0)
    writer = RunWriter.take_over(repo, "run", "a2")
    writer.resume()
    writer.save(after, {}, step=1, hints=[replace(hint, step=0) for hint in hints])
    assert repo.restore("run").tensors == after
