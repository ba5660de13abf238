"""A framework's nested state as named tensors and plain values, and back, each container as it was.

A tensor is named by its path, keys joined by slashes: `optimizer_states/0/state/3/exp_avg`. Only containers
that are no dicts with texts as keys are written down beside them, so that a manifest stays small.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lstm.checkpoints.tensors import dtype_of, from_torch, to_torch
from lstm.checkpoints.values import NotStorable, from_json, to_json
from storage.checkpoints.errors import Damaged
from storage.checkpoints.tensor import Tensor

_KEY = "nested state"
_DEPTH = 100
"""Containers within each other at most: a hostile commit must not exhaust Python's stack."""
_ESCAPES = {"~": "~0", "/": "~1"}
_WHOLE = {"": "~2", ".": "~3", "..": "~4"}
"""Keys that cannot be a part of a tensor's name as they are."""


def flattened(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor | Tensor], dict[str, Any]]:
    """Tensors by path, those of PyTorch as they are, and the meta of the commit.

    Args:
        state: nested dicts (keys: all texts, or all ints), lists and tuples of tensors of PyTorch and NumPy,
            NumPy's scalars, None, bool, int, float and str. A subclass of dict becomes a dict.

    Raises:
        NotStorable: it holds something else; says what, and where.
    """
    if odd := [key for key in state if not isinstance(key, str)]:
        raise NotStorable(f"a state is named by texts, not by {odd[0]!r}")
    flat = _Flat()
    flat.add((), state)
    return flat.tensors, {_KEY: {"kinds": flat.kinds, "values": flat.values}}


def to_tensors(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As `flattened`, every tensor as a repository's: a view of its bytes where that can be."""
    found, meta = flattened(state)
    return {name: it if isinstance(it, Tensor) else from_torch(it) for name, it in found.items()}, meta


def of_tensors(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The state that `to_tensors` was given, in fresh tensors; dicts may have another order.

    Raises:
        Damaged: `to_tensors` did not make this.
    """
    try:
        kinds, values = dict(meta[_KEY]["kinds"]), dict(meta[_KEY]["values"])
        root: dict[str, Any] = {}
        for path, value in values.items():
            _put(root, path, from_json(value))
        for path, tensor in tensors.items():
            of = kinds.pop(path, None)
            _put(root, path, to_torch(tensor) if of is None else _numpy(of, tensor))
        state = _built(root, "", kinds)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"the commit holds no nested state, or a broken one: {error}") from error
    assert isinstance(state, dict)
    return state


def path_of(*keys: object) -> str:
    """The name of the tensor that lies below these keys."""
    return "/".join(_escaped(str(key)) for key in keys)


class _Flat:
    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor | Tensor] = {}
        self.kinds: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def add(self, keys: tuple[object, ...], value: object) -> None:
        path = path_of(*keys)
        if len(keys) > _DEPTH:
            raise NotStorable(f"{path[:200]!r} lies more than {_DEPTH} containers deep")
        if isinstance(value, torch.Tensor):
            try:
                dtype_of(value)
            except ValueError as error:
                raise NotStorable(f"{path!r}: {error}") from error
            self.tensors[path] = value
        elif isinstance(value, np.ndarray | np.generic):
            try:
                self.tensors[path] = Tensor.from_numpy(np.asarray(value))
            except (TypeError, ValueError) as error:
                raise NotStorable(f"{path!r}: {error}") from error
            self.kinds[path] = "array" if isinstance(value, np.ndarray) else "scalar"
        elif isinstance(value, Mapping | list | tuple) and (not keys or _holds_tensor(value)):
            items = list(value.items()) if isinstance(value, Mapping) else list(enumerate(value))
            if keys and (kind := _kind(path, value)):
                self.kinds[path] = kind
            for key, item in items:
                self.add((*keys, key), item)
        else:
            self.values[path] = to_json(path, _plain(value))


def _kind(path: str, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> str:
    """How a container is written down; "" is a dict with texts as keys."""
    if not isinstance(value, Mapping):
        if type(value) not in (list, tuple):
            raise NotStorable(f"{path!r} is a {type(value).__qualname__}; a list or a tuple can be stored")
        return type(value).__name__
    kinds = {type(key) for key in value}
    if kinds == {str}:
        return ""
    if kinds == {int}:
        return "ints"
    names = ", ".join(sorted(kind.__qualname__ for kind in kinds))
    raise NotStorable(f"{path!r} has keys of {names}; a dict that holds tensors has all texts, or all ints")


def _holds_tensor(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_tensor(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_tensor(item) for item in value)
    return isinstance(value, torch.Tensor | np.ndarray | np.generic)


def _plain(value: object) -> object:
    """Subclasses of dict (OrderedDict, defaultdict) as dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        assert isinstance(value, list | tuple)
        return type(value)(_plain(item) for item in value)
    return value


def _numpy(kind: str, tensor: Tensor) -> Any:
    array = tensor.to_numpy().copy()
    if kind == "array":
        return array
    if kind == "scalar" and array.shape == ():
        return array[()]
    raise ValueError(f"{kind!r} is no kind of tensor")


def _put(root: dict[str, Any], path: str, value: object) -> None:
    keys = path.split("/")
    if len(keys) > _DEPTH:
        raise ValueError(f"{path[:200]!r} lies more than {_DEPTH} containers deep")
    at = root
    for key in keys[:-1]:
        at = at.setdefault(key, _Node())
        if not isinstance(at, _Node):
            raise ValueError(f"{path!r} lies below what is no container")
    if keys[-1] in at:
        raise ValueError(f"{path!r} is there twice")
    at[keys[-1]] = value


class _Node(dict[str, Any]):
    """A container in the making; other dicts are values."""


def _built(node: object, path: str, kinds: Mapping[str, str]) -> Any:
    if not isinstance(node, _Node) and path:
        return node
    assert isinstance(node, dict)
    kind = kinds.get(path, "") if path else ""
    below = {key: _built(item, f"{path}/{key}" if path else key, kinds) for key, item in node.items()}
    if kind == "":
        return {_unescaped(key): item for key, item in below.items()}
    numbered = {int(key): item for key, item in below.items()}
    if kind == "ints":
        return numbered
    if kind not in ("list", "tuple") or numbered.keys() != set(range(len(below))):
        raise ValueError(f"{path!r} is no {kind!r}")
    items = [numbered[at] for at in range(len(numbered))]
    return items if kind == "list" else tuple(items)


def _escaped(key: str) -> str:
    if key in _WHOLE:
        return _WHOLE[key]
    return "".join(_ESCAPES.get(it, it) for it in key)


def _unescaped(part: str) -> str:
    for key, escape in _WHOLE.items():
        if part == escape:
            return key
    return part.replace("~1", "/").replace("~0", "~")
