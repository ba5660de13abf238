"""What a saved state itself tells of an Adam in it: which tensors are weights, and which their moments.

`torch.distributed.checkpoint` is given a state and no optimizer. In the state, an optimizer is a dict of
`state` and `param_groups`, as `Optimizer.state_dict` and `get_optimizer_state_dict` make it: the second
names parameters as the model does, the first numbers them, mostly in the model's order. With
`flatten_optimizer_state_dict` the keys of the second are joined by dots, and each parameter has a group.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from lstm.checkpoints.values import from_json
from storage.checkpoints import AdamHint, Tensor

Path = tuple[Any, ...]
_FIRST, _SECOND = "exp_avg", "exp_avg_sq"


def hints_of(
    paths: Mapping[str, Path], values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> list[AdamHint]:
    """A hint for each parameter of which weight and moments are there. Wrong ones cost bytes only.

    Args:
        paths: keys that lead to each tensor and value in the state, by name, in the state's order.
        values: as of `to_json`, by name.
        tensors: by name.
    """
    state = _State(paths, values, tensors)
    try:
        return [hint for optimizer in state.optimizers() for hint in state.hints(optimizer)]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return []  # it only looks like an Adam's; a save must not fail of that


class _State:
    def __init__(
        self, paths: Mapping[str, Path], values: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> None:
        self._names = {_parted(tuple(path)): name for name, path in paths.items()}
        self._values, self._tensors = values, tensors

    def optimizers(self) -> list[Path]:
        """Where they lie."""
        moments = (path for path in self._names if path[-3:-2] == ("state",) and path[-1] == _FIRST)
        return list(dict.fromkeys(path[:-3] for path in moments))

    def hints(self, optimizer: Path) -> Iterator[AdamHint]:
        groups = list(self._groups(optimizer))
        parameters = [key for group in groups for key in group["params"]]
        weights = self._weights(optimizer, parameters)
        for group in groups:
            if group.get("amsgrad") or group.get("maximize"):
                continue
            for key in group["params"]:
                first, second = (self._name(optimizer, key, it) for it in (_FIRST, _SECOND))
                if key not in weights or first is None or second is None:
                    continue
                yield AdamHint(
                    weight=weights[key],
                    first_moment=first,
                    second_moment=second,
                    learning_rate=float(group["lr"]),
                    beta1=float(group["betas"][0]),
                    beta2=float(group["betas"][1]),
                    epsilon=float(group["eps"]),
                    weight_decay=float(group["weight_decay"]) if group.get("decoupled_weight_decay") else 0.0,
                    step=int(self._value(self._names[(*optimizer, "state", str(key), "step")])),
                )

    def _groups(self, optimizer: Path) -> Iterator[dict[str, Any]]:
        found: dict[Any, dict[str, Any]] = defaultdict(dict)
        begin = (*optimizer, "param_groups")
        for path, name in self._names.items():
            if path[: len(begin)] == begin and len(path) == len(begin) + 2:
                found[path[-2]][path[-1]] = self._value(name)
        for key, group in found.items():
            if isinstance(key, str):
                group["params"] = [key]
            if group.keys() >= {"params", "lr", "betas", "eps", "weight_decay"}:
                yield group

    def _weights(self, optimizer: Path, parameters: list[Any]) -> dict[Any, str]:
        """The name of each parameter's weight, as far as it is found."""
        beside: dict[Path, dict[Any, str]] = defaultdict(dict)
        for path, name in self._names.items():
            if name in self._tensors and path[: len(optimizer) + 1] != (*optimizer, "state"):
                beside[path[:-1]][path[-1]] = name
        moments = {key: self._name(optimizer, key, _FIRST) for key in parameters}
        best: dict[Any, str] = {}
        for model in beside.values():
            found = {}
            in_order: Iterator[tuple[Any, str | None]] = iter(model.items())
            for key, moment in moments.items():
                if moment is None:
                    continue
                likely = in_order if isinstance(key, int) else iter([(key, model.get(key))])
                weight = next((it for _, it in likely if it is not None and self._alike(it, moment)), None)
                if weight is not None:
                    found[key] = weight
            best = max(best, found, key=len)
        return best

    def _alike(self, first: str, second: str) -> bool:
        return self._tensors[first].shape == self._tensors[second].shape

    def _name(self, optimizer: Path, key: Any, what: str) -> str | None:
        name = self._names.get((*optimizer, "state", str(key), what))
        return name if name in self._tensors else None

    def _value(self, name: str) -> Any:
        """A plain value, or that of a tensor without axes."""
        if name in self._tensors:
            return self._tensors[name].to_numpy().item()
        return from_json(self._values[name])


def _parted(path: Path) -> Path:
    """A key of a flattened optimizer as the keys that it was; a parameter's name has dots of its own."""
    *before, last = path
    section, _, rest = last.partition(".") if isinstance(last, str) else ("", "", "")
    parameter, _, key = rest.rpartition(".")
    if section not in ("state", "param_groups") or not parameter:
        return path
    return (*before, section, parameter, key)
