"""What an Adam or AdamW of PyTorch tells the repository, so that its moments and weights store less."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from storage.checkpoints import AdamHint


def adam_hints(
    optimizer: torch.optim.Optimizer,
    names: Mapping[nn.Parameter, str],
    moment: Callable[[int, str], str],
) -> list[AdamHint]:
    """A hint for each parameter that has been updated; none for other optimizers. Wrong ones cost bytes only.

    Args:
        optimizer: any.
        names: how the state that is saved names each weight; parameters that are missing here get no hint.
        moment: how it names a moment, by the parameter's number in `optimizer.state_dict()` and its key.
    """
    if not isinstance(optimizer, torch.optim.Adam):  # AdamW is one
        return []
    hints, number = [], -1
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            number += 1
            state = optimizer.state.get(parameter)
            if not state or parameter not in names or group["amsgrad"] or group["maximize"]:
                continue
            hints.append(
                AdamHint(
                    weight=names[parameter],
                    first_moment=moment(number, "exp_avg"),
                    second_moment=moment(number, "exp_avg_sq"),
                    learning_rate=float(group["lr"]),
                    beta1=float(group["betas"][0]),
                    beta2=float(group["betas"][1]),
                    epsilon=float(group["eps"]),
                    weight_decay=float(group["weight_decay"]) if group["decoupled_weight_decay"] else 0.0,
                    step=int(state["step"]),
                )
            )
    return hints
