"""Callbacks that save into a repository: for Lightning, and for the Trainer of Hugging Face's transformers.

Nothing of a framework is imported until its callback is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lstm.checkpoints.run_saver import Saving
from lstm.extras import asked_for
from storage.checkpoints import Repository

if TYPE_CHECKING:
    import transformers

    from lstm.checkpoints.adapters.lightning_callback import LightningCheckpoint
    from lstm.checkpoints.adapters.transformers_callback import TransformersCheckpoint

__all__ = ["Saving", "lightning_checkpoint", "transformers_checkpoint"]


def lightning_checkpoint(repository: Repository, run: str, **saving: Any) -> LightningCheckpoint:
    """A callback for `lightning.pytorch.Trainer`; see `lightning_callback`. `saving`: fields of `Saving`."""
    with asked_for("lightning", "lightning", "the checkpoint callback"):
        from lstm.checkpoints.adapters.lightning_callback import LightningCheckpoint

    return LightningCheckpoint(repository, run, Saving(**saving))


def transformers_checkpoint(
    trainer: transformers.Trainer, repository: Repository, run: str, **saving: Any
) -> TransformersCheckpoint:
    """A callback that adds itself to a Trainer; see `transformers_callback`. `saving`: fields of `Saving`."""
    with asked_for("transformers", "transformers", "the checkpoint callback"):
        from lstm.checkpoints.adapters.transformers_callback import TransformersCheckpoint

    return TransformersCheckpoint(trainer, repository, run, Saving(**saving))
