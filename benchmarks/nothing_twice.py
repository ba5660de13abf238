"""Bytes that a repository stores although it holds them already: 0, in every case that a training meets.

Each case begins from one state of a real training, in a repository of its own, and saves it again in another
form. Counted are bytes of packs that were added, but for the stored forms of chunks that are truly new.
"""

import multiprocessing
import socket
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from benchmarks.trails import Save, trail
from lstm.checkpoints.dcp_writer import CarouselWriter
from storage.checkpoints import Repository, RunWriter, Tensor
from storage.objects import Access, Bucket

RANKS = 2
EMBEDDING = "embedding"
_ROWS, _COLUMNS, _CHANGED = 8_192, 128, (5, 8_000)


def zero_copy_bytes(bucket: Bucket) -> dict[str, int]:
    """Of each case."""
    state = next(trail("forecast", cadence=1, saves=1, start=2))
    return {name: _added(bucket, name, state, case) for name, case in CASES.items()}


def _added(bucket: Bucket, name: str, state: Save, case: Callable[[Repository, Save], None]) -> int:
    repository = Repository.create(bucket, f"nothing-twice/{name}")
    tensors = state.tensors | {EMBEDDING: _embedding(())}
    RunWriter.create(repository, "run", "a1").save(tensors, {}, step=0)
    known, before = set(_chunks(repository)), repository.statistics().pack_bytes
    case(repository, Save(state.step, tensors, state.hints))
    new = sum(size for chunk, size in _chunks(repository).items() if chunk not in known)
    return repository.statistics().pack_bytes - before - new


def _chunks(repository: Repository) -> dict[str, int]:
    """Stored bytes of every chunk that any commit names."""
    found: dict[str, int] = {}
    for run in repository.runs():
        for commit in repository.commits(run):
            manifest = repository.shelf.read_manifest(run, commit)
            found |= {chunk: at.size for chunk, at in manifest.locations.items()}
    return found


def _embedding(changed: tuple[int, ...]) -> Tensor:
    rows = np.random.default_rng(0).standard_normal((_ROWS, _COLUMNS)).astype(np.float32)
    rows[list(changed)] += 1
    return Tensor.from_numpy(rows)


def _tagged(repository: Repository, state: Save) -> None:
    repository.tag("run", "newest", "best")
    repository.pin("run", "newest", "a deployment")


def _replicas(repository: Repository, state: Save) -> None:
    """Every rank's copy, side by side."""
    copies = {f"rank-{rank}/{name}": it for rank in range(4) for name, it in state.tensors.items()}
    RunWriter.take_over(repository, "run", "a2").save(copies, {}, step=1)


def _frozen(repository: Repository, state: Save) -> None:
    """One tensor trains on, all others stay."""
    trained = Tensor.from_numpy(np.random.default_rng(1).standard_normal((512, 1024)).astype(np.float32))
    writer = RunWriter.take_over(repository, "run", "a2")
    writer.resume()
    for step in (1, 2):
        writer.save(state.tensors | {"trained": trained}, {"step": step}, step=step)


def _rows(repository: Repository, state: Save) -> None:
    """Two rows of a large embedding change: only their chunks are new."""
    writer = RunWriter.take_over(repository, "run", "a2")
    writer.resume()
    writer.save(state.tensors | {EMBEDDING: _embedding(_CHANGED)}, {}, step=1)
    known = len(_embedding(()).data) // 2**20
    manifest = repository.shelf.read_manifest("run", repository.commits("run")[-1])
    first = repository.shelf.read_manifest("run", repository.commits("run")[0])
    new = set(manifest.tensors[EMBEDDING].chunks) - set(first.tensors[EMBEDDING].chunks)
    if not 0 < len(new) <= len(_CHANGED) < known:
        raise AssertionError(f"{len(_CHANGED)} rows have changed {len(new)} of {known} chunks")


def _fork(repository: Repository, state: Save) -> None:
    repository.fork("run", "newest", "fork", "b1").save(state.tensors, {}, step=1)


def _independent(repository: Repository, state: Save) -> None:
    """Another run loads the same pretrained tensors, under other names, and has a head of its own."""
    own = Tensor.from_numpy(np.random.default_rng(2).standard_normal((256, 256)).astype(np.float32))
    renamed = {f"pretrained/{name}": it for name, it in state.tensors.items()} | {"head": own}
    RunWriter.create(repository, "other", "c1").save(renamed, {}, step=0)


def _another_world(repository: Repository, state: Save) -> None:
    """Two ranks save what one has saved, in shards of rows and of columns, and replicated."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bucket = repository.shelf.files.store
    assert isinstance(bucket, Bucket)
    with ProcessPoolExecutor(RANKS, mp_context=multiprocessing.get_context("spawn")) as pool:
        place = port, bucket.name, bucket.access, repository.shelf.place
        for ended in [pool.submit(_rank, rank, *place) for rank in range(RANKS)]:
            ended.result()


def _rank(rank: int, port: int, name: str, access: Access, prefix: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    repository = Repository.open(Bucket(name, access), prefix)
    mesh = init_device_mesh("cpu", (RANKS,))
    whole = {it: _torch(tensor) for it, tensor in repository.restore("run").tensors.items()}
    matrices = [it for it, tensor in whole.items() if tensor.ndim == 2]
    ways = {it: (Shard(0), Shard(1), Replicate())[number % 3] for number, it in enumerate(matrices)}
    shards = {it: distribute_tensor(whole[it], mesh, [way]) for it, way in ways.items()}
    save(whole | shards, storage_writer=CarouselWriter(repository, "run", step=1))
    dist.destroy_process_group()


def _torch(tensor: Tensor) -> torch.Tensor:
    return torch.from_numpy(tensor.to_numpy().copy())


CASES: dict[str, Callable[[Repository, Save], None]] = {
    "tagged copy": _tagged,
    "replicas on ranks": _replicas,
    "frozen layers": _frozen,
    "unchanged embedding rows": _rows,
    "fork": _fork,
    "independent run": _independent,
    "world-size change": _another_world,
}
