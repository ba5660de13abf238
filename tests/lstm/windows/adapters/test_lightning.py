"""A real Trainer, stopped after every step, goes on with exactly the batches that were left."""

import pytest
import torch

from lstm.windows.adapters import lightning as data_module

from .conftest import exact, needs

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own, of PyTorch's newer names and its advice
EPOCHS = 2


@pytest.fixture(autouse=True)
def pl():
    return needs("lightning.pytorch", "lightning")


@pytest.fixture
def fitted(pl, tmp_path, windows):
    """Fit from a checkpoint (None: from the beginning), saving after every step; what was seen, by step."""

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen, self.validated = [], []

        def training_step(self, batch, index):
            self.seen.append(exact(batch))
            return self.weight * 1.0

        def validation_step(self, batch, index):
            self.validated.append(exact(batch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    def fit(checkpoint=None):
        model, data = Model(), data_module(windows, batch_size=7, fields=["values", "positions", "epoch"])
        trainer = pl.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Save()] if checkpoint is None else [],
            default_root_dir=tmp_path,
        )
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
        return model

    return fit


def test_a_fit_resumed_from_every_step_sees_exactly_the_rest(fitted, tmp_path):
    whole = fitted().seen
    assert len(whole) == 12
    for step in range(1, 12):
        assert fitted(tmp_path / f"{step}.ckpt").seen == whole[step:]


def test_each_validation_sees_the_whole_split(fitted, windows):
    validated = fitted().validated
    with windows.stream("validation", batch_size=7, ordered=True) as stream:
        expected = [batch.values.tobytes() for batch in stream]
    assert [item["values"] for item in validated[-EPOCHS * len(expected) :]] == expected * EPOCHS
