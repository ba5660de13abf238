"""A real Trainer of Hugging Face's transformers that is cut off goes on as if it had never been."""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lstm.checkpoints.adapters import transformers_checkpoint
from lstm.checkpoints.tensors import from_torch
from storage.checkpoints import Repository, Retention, RunExists, RunWriter, TakenOver
from storage.objects import Bucket

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the framework's own parts, while it is imported
    for name in ("accelerate", "transformers"):
        transformers = pytest.importorskip(
            name, reason=f"{name} is not installed: pip install 'carousel-lstm[transformers]'"
        )

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own
EPOCHS, STEPS = 3, 4


class Cut(Exception):
    """The training is ended from outside."""


class Model(torch.nn.Module):
    """Draws at random in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(40, 40)
        self.head = torch.nn.Linear(40, 1)
        self.seen: list[float] = []
        self.cut_at: int | None = None

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            if len(self.seen) == self.cut_at:
                raise Cut
            self.seen.append(x.sum().item())
        hidden = torch.nn.functional.dropout(self.layer(x), 0.3, training=True)
        loss = (self.head(hidden) - labels).square().mean()
        return {"loss": loss, "logits": hidden}


def trainer(folder: Path, model: Model, **options: Any) -> Any:
    rows = torch.randn(STEPS * 8, 40, generator=torch.Generator().manual_seed(1))
    data = [{"x": row, "labels": torch.zeros(1)} for row in rows]
    arguments = transformers.TrainingArguments(
        str(folder),
        per_device_train_batch_size=8,
        num_train_epochs=EPOCHS,
        learning_rate=0.01,
        save_strategy="no",
        eval_strategy="steps",
        eval_steps=2,
        logging_steps=3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=5,
        remove_unused_columns=False,
        **options,
    )
    return transformers.Trainer(
        model, arguments, train_dataset=data, eval_dataset=data[:9], compute_metrics=lambda _: {"score": 1.0}
    )


def begun(cut_at: int | None = None, seed: int = 4) -> Model:
    torch.manual_seed(seed)
    model = Model()
    model.cut_at = cut_at
    return model


def state_of(trained: Any) -> dict[str, Any]:
    moments = trained.optimizer.state_dict()["state"]
    named = {f"{at}.{key}": value for at, state in moments.items() for key, value in state.items()}
    return {name: from_torch(it) for name, it in (trained.model.state_dict() | named).items()}


def losses(trained: Any) -> list[float]:
    return [entry["eval_loss"] for entry in trained.state.log_history if "eval_loss" in entry]


@pytest.mark.parametrize(("every", "cut_at"), [({"every_steps": 1}, 3), ({"every_steps": 2}, 6), ({}, 6)])
def test_a_resumed_training_is_the_uninterrupted_one(
    bucket: Bucket, tmp_path: Path, every: dict[str, int], cut_at: int
) -> None:
    repository = Repository.create(bucket, "c/")
    model = begun()
    whole = trainer(tmp_path, model)
    transformers_checkpoint(whole, repository, "whole", **every)
    whole.train()
    first = trainer(tmp_path, begun(cut_at))
    with pytest.raises(Cut), transformers_checkpoint(first, repository, "run", **every):
        first.train()
    steps = every.get("every_steps", STEPS)
    done = cut_at // steps * steps
    again = begun(seed=9)
    second = trainer(tmp_path, again)
    checkpoint = transformers_checkpoint(second, repository, "run", **every)
    folder = checkpoint.newest()
    second.train(resume_from_checkpoint=folder)
    assert again.seen == model.seen[done:]
    assert state_of(second) == state_of(whole)
    assert len(losses(whole)) == EPOCHS * STEPS // 2
    assert losses(second) == losses(whole)
    assert not Path(folder).exists()
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_commits_is_not_overwritten(bucket: Bucket, tmp_path: Path) -> None:
    repository = Repository.create(bucket, "c/")
    for run in range(2):
        trained = trainer(tmp_path, begun(), max_steps=4)
        checkpoint = transformers_checkpoint(
            trained, repository, "run", every_steps=1, best="eval_loss", retain=Retention(last=2, first=False)
        )
        if run:
            with pytest.raises(RunExists, match="commits already"):
                trained.train()
        else:
            assert checkpoint.newest() is None
            trained.train()
    commits = repository.commits("run")
    best = [commit for commit in commits if "best" in commit.tags]
    assert {commit.step for commit in commits} == {3, 4, *(commit.step for commit in best[-1:])}
    assert best[-1].metrics["eval_loss"] > 0
    assert commits[-1].new_bytes < 0.8 * commits[-1].raw_bytes  # one step of Adam is predicted


def test_a_failed_save_is_raised_at_the_next_step(bucket: Bucket, tmp_path: Path) -> None:
    repository = Repository.create(bucket, "c/")
    trained = trainer(tmp_path, begun())

    class TakesOver(transformers.TrainerCallback):
        def on_step_end(self, arguments: Any, state: Any, control: Any, **others: Any) -> None:
            if state.global_step == 2:
                RunWriter.take_over(repository, "run", "another")

    trained.add_callback(TakesOver())
    with (
        pytest.raises(TakenOver, match="another"),
        transformers_checkpoint(trained, repository, "run", every_steps=1),
    ):
        trained.train()
    assert trained.state.global_step < EPOCHS * STEPS


def test_the_example_of_the_page_runs(bucket: Bucket, tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "checkpoints-in-pytorch.md").read_text()
    (block,) = re.findall(r"## In Hugging Face's Trainer\n\n```python\n(.*?)```", page, re.DOTALL)
    quick = partial(
        transformers.TrainingArguments,
        use_cpu=True,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    names = {
        "Trainer": transformers.Trainer,
        "TrainingArguments": quick,
        "folder": str(tmp_path),
        "repository": Repository.create(bucket, "c/"),
        "model": begun(),
        "rows": [{"x": torch.ones(40), "labels": torch.zeros(1)} for _ in range(STEPS * 8)],
    }
    for _ in range(2):  # begun, then gone on with
        exec(block, globals() | names)
    assert [commit.step for commit in names["repository"].commits("my-run")] == [EPOCHS * STEPS]
