"""A real Lightning Trainer whose fit is cut off goes on as if it had never been."""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lstm.checkpoints.adapters import lightning_checkpoint
from lstm.checkpoints.run_saver import NotTheNewest
from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.values import NotStorable
from storage.checkpoints import Repository, Retention, RunExists, RunWriter, TakenOver
from storage.objects import Bucket

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the framework's own parts, while it is imported
    pl = pytest.importorskip(
        "lightning.pytorch", reason="lightning is not installed: pip install 'carousel-lstm[lightning]'"
    )
    strategies = pytest.importorskip("lightning.pytorch.strategies")

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own, of PyTorch's newer names and its advice
EPOCHS, STEPS = 3, 4


class Cut(Exception):
    """The fit is ended from outside."""


class Model(pl.LightningModule):
    """Draws at random in every step, and has schedulers by step and by epoch."""

    def __init__(self, cut_at: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(40, 40)
        self.head = torch.nn.Linear(40, 1)
        self.cut_at, self.seen = cut_at, []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if self.global_step == self.cut_at:
            raise Cut
        self.seen.append(batch[0].sum().item())
        hidden = torch.nn.functional.dropout(self.layer(batch[0]), 0.3, training=True)
        return self.head(hidden).square().mean()

    def validation_step(self, batch: Any, index: int) -> None:
        loss = self.head(torch.nn.functional.dropout(self.layer(batch[0]), 0.3, training=True))
        self.log("loss", loss.square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler
        by_step = schedule.OneCycleLR(optimizer, 0.05, total_steps=EPOCHS * STEPS + 1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": by_step, "interval": "step"}}


class Resumable(DataLoader):
    """As Lightning asks: it can say where it is within an epoch, and go on there."""

    taken, skip = 0, 0

    def __iter__(self) -> Any:
        batches = list(super().__iter__())[self.skip :]
        self.taken, self.skip = self.skip, 0
        for batch in batches:
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"taken": self.taken % STEPS}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skip = state["taken"]


def fit(checkpoint: Any, model: Any, *, shuffle: bool = True, ckpt: str | None = None, **options: Any) -> Any:
    data = TensorDataset(torch.randn(STEPS * 8, 40, generator=torch.Generator().manual_seed(1)))
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": EPOCHS, "num_sanity_val_steps": 1, **options},
    )
    training = (
        DataLoader(data, 8, shuffle=True) if shuffle else Resumable(data, 8, generator=torch.Generator())
    )
    trainer.fit(model, training, DataLoader(data, 16, shuffle=True), ckpt_path=ckpt)
    return trainer


def state_of(trainer: Any) -> dict[str, Any]:
    moments = trainer.optimizers[0].state_dict()["state"]
    named = {f"{at}.{key}": value for at, state in moments.items() for key, value in state.items()}
    return {name: from_torch(it) for name, it in (trainer.model.state_dict() | named).items()}


def begun(seed: int = 4, **options: Any) -> Model:
    torch.manual_seed(seed)
    return Model(**options)


@pytest.mark.parametrize("cut_at", [STEPS, STEPS + 2])
def test_a_fit_resumed_from_the_end_of_an_epoch_is_the_uninterrupted_one(bucket: Bucket, cut_at: int) -> None:
    repository = Repository.create(bucket, "c/")
    model = begun()
    whole = state_of(fit(lightning_checkpoint(repository, "whole"), model))
    with pytest.raises(Cut):
        fit(lightning_checkpoint(repository, "run"), begun(cut_at=cut_at))
    checkpoint, again = lightning_checkpoint(repository, "run"), begun(seed=9)
    resumed = fit(checkpoint, again, ckpt=checkpoint.newest())
    done = cut_at // STEPS * STEPS
    assert again.seen == model.seen[done:]
    assert state_of(resumed) == whole
    assert [commit.step for commit in repository.commits("run")] == [4, 8, 12]


@pytest.mark.parametrize("cut_at", [1, 6])
def test_a_fit_resumed_from_any_step_is_the_uninterrupted_one(bucket: Bucket, cut_at: int) -> None:
    repository = Repository.create(bucket, "c/")
    model = begun()
    whole = state_of(fit(lightning_checkpoint(repository, "whole"), model, shuffle=False))
    with pytest.raises(Cut):
        fit(lightning_checkpoint(repository, "run", every_steps=1), begun(cut_at=cut_at), shuffle=False)
    checkpoint, again = lightning_checkpoint(repository, "run"), begun(seed=9)
    resumed = fit(checkpoint, again, shuffle=False, ckpt=checkpoint.newest())
    assert again.seen == model.seen[cut_at:]
    assert state_of(resumed) == whole


@pytest.mark.parametrize("first_has", [False, True])
def test_every_rank_begins_or_goes_on_as_the_first_does(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, first_has: bool
) -> None:
    """What `newest()` finds differs between ranks where the first has committed meanwhile."""
    repository = Repository.create(bucket, "c/")
    checkpoint = lightning_checkpoint(repository, "run")
    fit(checkpoint, begun(), max_epochs=1)
    other = lightning_checkpoint(repository, "other")
    there = lightning_checkpoint(repository, "run").newest()
    first, ours = (there, None) if first_has else (None, there)

    def told(self: Any, obj: Any, src: int = 0) -> Any:
        return first if obj == ours else obj

    monkeypatch.setattr(strategies.SingleDeviceStrategy, "broadcast", told)
    model = begun()
    fit(other, model, ckpt=ours, max_epochs=2)
    assert len(model.seen) == (1 if first_has else 2) * STEPS


def test_a_run_that_has_commits_is_not_overwritten_and_begins_another_one(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "c/")
    first = lightning_checkpoint(repository, "run")
    assert first.newest() is None
    fit(first, begun(), max_epochs=2)
    with pytest.raises(RunExists, match=r"2 commits .* newest of step 8"):
        fit(lightning_checkpoint(repository, "run"), begun())
    older = lightning_checkpoint(repository, "run")
    path = older.path(repository.commits("run")[0].id)
    with pytest.raises(NotTheNewest, match="of step 8"):
        fit(older, begun(), ckpt=path)
    other = lightning_checkpoint(repository, "other")
    fit(other, begun(), ckpt=other.path("newest", run="run"))
    assert [commit.step for commit in repository.commits("other")] == [12]


def test_commits_have_metrics_and_tags_and_what_the_policy_does_not_keep_goes(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "c/")
    checkpoint = lightning_checkpoint(
        repository,
        "run",
        every_steps=1,
        best="loss",
        retain=Retention(last=1, first=False),
        tags=lambda step: ["keep me"] if step == 2 else [],
    )
    fit(checkpoint, begun(), shuffle=False)
    commits = repository.commits("run")
    assert [commit.tags for commit in commits if commit.step == 2] == [("keep me",)]
    best = [commit for commit in commits if "best" in commit.tags]
    assert {commit.step for commit in commits} == {2, *(it.step for it in best), EPOCHS * STEPS}
    assert best[-1].metrics["loss"] == min(it.metrics["loss"] for it in commits if "loss" in it.metrics)
    assert commits[-1].new_bytes < 0.8 * commits[-1].raw_bytes  # one step of Adam is predicted


def test_a_failed_save_is_raised_at_the_next_step(bucket: Bucket) -> None:
    repository = Repository.create(bucket, "c/")
    model = begun()
    checkpoint = lightning_checkpoint(repository, "run", every_steps=1)
    whole_step = model.on_train_batch_start

    def taken_over(batch: Any, index: int) -> None:
        if model.global_step == 2:
            RunWriter.take_over(repository, "run", "another")
        return whole_step(batch, index)

    model.on_train_batch_start = taken_over
    with pytest.raises(TakenOver, match="another"):
        fit(checkpoint, model, shuffle=False)
    assert len(model.seen) < EPOCHS * STEPS


def test_what_is_no_plain_data_is_refused_by_its_path(bucket: Bucket) -> None:
    class Odd(Model):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = {"where": Cut()}

    with pytest.raises(NotStorable, match=r"mine.*Cut"):
        fit(lightning_checkpoint(Repository.create(bucket, "c/"), "run"), Odd())


def test_the_example_of_the_page_runs(bucket: Bucket, tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "checkpoints-in-pytorch.md").read_text()
    (block,) = re.findall(r"## In Lightning\n\n```python\n(.*?)```", page, re.DOTALL)

    class Tested(Model):
        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.head(self.layer(batch[0])).square().mean())

        def test_step(self, batch: Any, index: int) -> None:
            self.log("test_loss", self.head(self.layer(batch[0])).square().mean())

    rows = DataLoader(TensorDataset(torch.randn(STEPS * 8, 40)), 8)
    data = pl.LightningDataModule.from_datasets(*[rows.dataset] * 3, batch_size=8)
    names = {
        "Trainer": partial(
            pl.Trainer, accelerator="cpu", max_epochs=2, logger=False, default_root_dir=tmp_path
        ),
        "repository": Repository.create(bucket, "c/"),
        "module": Tested(),
        "data": data,
    }
    for _ in range(2):  # begun, then gone on with
        exec(block, globals() | names)
    assert any("best" in commit.tags for commit in names["repository"].commits("my-run"))
