"""A training on two ranks (DDP, gloo) that is cut off on both goes on, through the callbacks, bit for bit."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lstm.checkpoints.adapters import lightning_checkpoint, transformers_checkpoint
from storage.checkpoints import Repository
from storage.objects import Access, Bucket
from tests.conftest import free_ports

pytestmark = pytest.mark.slow
RANKS = 2


def lightning_goes_on(repository: Repository, rank: int, folder: Path) -> None:
    from . import test_lightning as one

    ddp = {"strategy": "ddp", "devices": RANKS, "default_root_dir": str(folder)}
    model = one.begun()
    whole = one.state_of(one.fit(lightning_checkpoint(repository, "whole"), model, **ddp))
    steps = one.STEPS // RANKS  # of an epoch
    with pytest.raises(one.Cut):
        one.fit(lightning_checkpoint(repository, "run"), one.begun(cut_at=2 * steps + 1), **ddp)
    dist.barrier()  # the first rank has closed the run
    checkpoint, again = lightning_checkpoint(repository, "run"), one.begun(seed=9 + rank)
    resumed = one.fit(checkpoint, again, ckpt=checkpoint.newest(), **ddp)
    assert again.seen == model.seen[2 * steps :]
    assert one.state_of(resumed) == whole
    if rank == 0:
        assert [it.step for it in repository.commits("run")] == [steps, 2 * steps, 3 * steps]


def lightning_begins_as_the_first_rank_does(repository: Repository, rank: int, folder: Path) -> None:
    """The second rank has asked for the newest commit when the first had made one already."""
    from . import test_lightning as one

    ddp = {"strategy": "ddp", "devices": RANKS, "default_root_dir": str(folder)}
    one.fit(lightning_checkpoint(repository, "early"), one.begun(), max_epochs=1, **ddp)
    dist.barrier()
    late = lightning_checkpoint(repository, "early").newest()
    for name, found in (("anew", rank == 1), ("on", rank == 0)):
        model = one.begun()
        one.fit(
            lightning_checkpoint(repository, name), model, ckpt=late if found else None, max_epochs=2, **ddp
        )
        assert len(model.seen) == (2 if name == "anew" else 1) * one.STEPS // RANKS


def transformers_goes_on(repository: Repository, rank: int, folder: Path) -> None:
    from . import test_transformers as one

    for every, cut_at in (({"every_steps": 1}, 3), ({"every_steps": 2}, 3), ({}, 3)):
        name = f"{every.get('every_steps', 'epochs')}"
        model = one.begun()
        whole = one.trainer(folder, model, ddp_backend="gloo")
        transformers_checkpoint(whole, repository, f"whole-{name}", **every)
        whole.train()
        first = one.trainer(folder, one.begun(cut_at), ddp_backend="gloo")
        with pytest.raises(one.Cut), transformers_checkpoint(first, repository, name, **every):
            first.train()
        done = cut_at // every.get("every_steps", 2) * every.get("every_steps", 2)
        again = one.begun(seed=9 + rank)
        second = one.trainer(folder, again, ddp_backend="gloo")
        checkpoint = transformers_checkpoint(second, repository, name, **every)
        second.train(resume_from_checkpoint=checkpoint.newest())
        assert again.seen == model.seen[done:]
        assert one.state_of(second) == one.state_of(whole)
        assert one.losses(second) == one.losses(whole)


def rank_of_two(
    rank: int,
    port: int,
    name: str,
    access: Access,
    folder: Path,
    training: Callable[[Repository, int, Path], None],
) -> None:
    """As torchrun starts it."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(RANKS),
        "LOCAL_WORLD_SIZE": str(RANKS),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
    }
    torch.set_num_threads(1)
    training(Repository.open(Bucket(name, access), "c/"), rank, folder)
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("training", "needs"),
    [
        (lightning_goes_on, "lightning"),
        (lightning_begins_as_the_first_rank_does, "lightning"),
        (transformers_goes_on, "transformers"),
    ],
)
def test_a_training_on_two_ranks_is_one_training(
    bucket: Bucket, tmp_path: Path, training: Callable[..., Any], needs: str
) -> None:
    pytest.importorskip(needs, reason=f"pip install 'carousel-lstm[{needs}]'")
    Repository.create(bucket, "c/")
    (port,) = free_ports(1)
    mp.spawn(rank_of_two, (port, bucket.name, bucket.access, tmp_path, training), nprocs=RANKS)
