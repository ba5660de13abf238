"""States of the random generators of Python, NumPy and PyTorch, as plain arrays; of this rank or of all."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist


def of_this_rank() -> dict[str, Any]:
    """The states now; of every accelerator of this process too."""
    version, words, gauss = random.getstate()
    name, keys, place, has_gauss, cached = np.random.get_state(legacy=True)
    if name != "MT19937":
        raise ValueError(f"NumPy's global generator is {name}, of which no state can be kept")
    state: dict[str, Any] = {
        "python": {"version": version, "words": np.array(words, np.uint64), "gauss": gauss},
        "numpy": {"keys": keys, "place": place, "has_gauss": has_gauss, "cached": cached},
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def of_all_ranks() -> list[dict[str, Any]]:
    """As `of_this_rank`, by rank; all ranks of a process group must call it."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [of_this_rank()]
    found: list[dict[str, Any]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, of_this_rank())
    return found


def python_state(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """What `random.setstate` takes."""
    python = state["python"]
    return (python["version"], tuple(int(it) for it in python["words"]), python["gauss"])


def numpy_state(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """What `numpy.random.set_state` takes."""
    numpy = state["numpy"]
    return ("MT19937", numpy["keys"], numpy["place"], numpy["has_gauss"], numpy["cached"])


def set_for_rank(states: Sequence[Mapping[str, Any]], rank: int) -> bool:
    """Go on from the states of a rank; False where that rank was not there when they were kept."""
    if rank >= len(states):
        return False
    state = states[rank]
    random.setstate(python_state(state))
    np.random.set_state(numpy_state(state))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        for device, kept in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(kept, device)
    return True
