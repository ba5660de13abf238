"""How a run is trained: budget, optimiser, checkpoints, ranks."""

from dataclasses import dataclass
from typing import Literal

from lstm.windows.curriculum import Curriculum


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """One run's training. Lengths are in optimiser steps unless the name says otherwise."""

    steps: int = 1000
    """Optimiser steps of the whole run; early stopping may end it sooner."""
    batch_size: int = 256
    """Windows of one global batch, over all ranks."""
    learning_rate: float = 2e-3
    """Adam's learning rate after the warm-up."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """What the learning rate does after the warm-up: stays, or falls to a hundredth along a half cosine."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises linearly from zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW) per step, as a share of the learning rate; 0 is plain Adam."""
    clip_norm: float = 1.0
    """Largest 2-norm of the whole gradient; longer ones are scaled down to it."""
    ema_decay: float = 0.0
    """Decay per step of the weights' moving average that is validated and scored; 0 keeps no average."""
    checkpoint_every: int = 100
    """Steps between checkpoints; the model is validated right before each."""
    saves_in_flight: int = 2
    """Checkpoints on their way to the bucket beside training; each holds a copy of the state in memory, on
    every rank where ranks save together (16 MiB of state and more)."""
    saving_threads: int = 1
    """CPU threads of a rank that encode checkpoints beside training; they give way to those of all ranks."""
    spool_mib: int = 2048
    """MiB of this host's disk that keep checkpoints while the bucket is out; 0: an outage ends training."""
    disk_cache_mib: int = 0
    """MiB of this host's disk that keep the table's bytes between epochs, shared by its ranks; 0: none."""
    curriculum: tuple[tuple[int, int], ...] = ()
    """Learn near rows first: with [[0, 6], [300, 12], [600, 24]] 6 rows of the horizon count from step 0 on,
    12 from step 300, 24 from step 600. The validation always sees all. Empty: all count from the start."""
    validation_batches: int = 40
    """Batches of the validation split that one validation sees (the same ones each time); 0 means all."""
    patience: int = 5
    """Validations without a better loss after which training stops; 0 never stops early."""
    report_every: int = 10
    """Steps between progress reports; each sums the loss over ranks once."""
    ranks: int = 2
    """Processes that train together; each computes its share of every batch."""
    threads_per_rank: int = 1
    """CPU threads of one rank. Another number gives the same batches but not the same bits."""
    memory_mib: int = 512
    """MiB of rows that one rank may hold: those its pools need, and what else saves fetching them again."""
    seed: int = 0
    """Seeds initial weights, dropout and the order of windows."""
    timeout_s: int = 300
    """Seconds after which a rank that waits for another gives up, and with it the run."""

    def __post_init__(self) -> None:
        stages = Curriculum(self.curriculum).stages if self.curriculum else ()
        object.__setattr__(self, "curriculum", stages)  # it was lists, after a trip through JSON
        positive = (
            "steps",
            "batch_size",
            "checkpoint_every",
            "saves_in_flight",
            "saving_threads",
            "report_every",
            "ranks",
            "threads_per_rank",
            "memory_mib",
            "timeout_s",
        )
        for name in positive:
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"TrainingConfig.{name} must be >= 1, got {value}")
        for name in (
            "warmup_steps",
            "spool_mib",
            "disk_cache_mib",
            "validation_batches",
            "patience",
            "weight_decay",
            "seed",
        ):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"TrainingConfig.{name} must be >= 0, got {value}")
        for name in ("learning_rate", "clip_norm"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"TrainingConfig.{name} must be > 0, got {value}")
        if self.seed >= 2**63:
            raise ValueError(f"TrainingConfig.seed must be below 2^63, got {self.seed}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"TrainingConfig.ema_decay must be in [0, 1), got {self.ema_decay}")
