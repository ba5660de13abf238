"""What training changes: the model, its optimiser, and the moving average of its weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lstm.checkpoints.tensors import from_torch, taken, to_torch
from lstm.training.config import TrainingConfig
from storage.checkpoints import AdamHint, Tensor


@dataclass(slots=True)
class Learner:
    """A model in training; its state: `model/…`, `average/…`, `optimizer/<parameter>/<key>`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None

    @classmethod
    def of(cls, model: nn.Module, config: TrainingConfig) -> Self:
        """Adam (AdamW where weights decay) over all parameters of `model`."""
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        average = None
        if config.ema_decay:
            average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        return cls(model, optimizer, average)

    @property
    def scored(self) -> nn.Module:
        """The model that is validated and forecasts."""
        return self.average or self.model

    @property
    def state_bytes(self) -> int:
        """About what `tensors()` takes once every parameter has its two moments."""
        weights: int = sum(value.nbytes for value in self.model.state_dict().values())
        average = 0 if self.average is None else weights
        return 3 * weights + average

    def update(self, learning_rate: float) -> None:
        """One optimiser step from the gradients that are there."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def tensors(self) -> dict[str, Tensor]:
        """The state's bytes by name: views, so save or copy them before training goes on."""
        named = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        if self.average is not None:
            named |= {f"average/{name}": value for name, value in self.average.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                named[f"optimizer/{name}/{key}"] = value
        return {name: from_torch(value) for name, value in named.items()}

    def hints(self) -> list[AdamHint]:
        """What the repository may know of the optimiser, to store less: see `AdamHint`."""
        group = self.optimizer.param_groups[0]
        found = []
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter)
            if state:
                found.append(
                    AdamHint(
                        weight=f"model/{name}",
                        first_moment=f"optimizer/{name}/exp_avg",
                        second_moment=f"optimizer/{name}/exp_avg_sq",
                        learning_rate=group["lr"],
                        beta1=group["betas"][0],
                        beta2=group["betas"][1],
                        epsilon=group["eps"],
                        weight_decay=group["weight_decay"],
                        step=int(state["step"]),
                    )
                )
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over a state that `tensors()` gave, bit for bit; other names are ignored."""
        self.model.load_state_dict(_under("model/", tensors, taken))  # which copies
        if self.average is not None:
            self.average.load_state_dict(_under("average/", tensors, taken))
        moments: dict[str, dict[str, torch.Tensor]] = {}
        for path, value in _under("optimizer/", tensors, to_torch).items():
            name, _, key = path.rpartition("/")
            moments.setdefault(name, {})[key] = value
        names = [name for name, _ in self.model.named_parameters()]
        state = {number: moments[name] for number, name in enumerate(names) if name in moments}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _under(
    prefix: str, tensors: Mapping[str, Tensor], as_torch: Callable[[Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): as_torch(value)
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
