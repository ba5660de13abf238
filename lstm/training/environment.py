"""What the bits of a run depend on beside its inputs. A resume elsewhere is correct, but not bit-exact."""

import platform
from pathlib import Path

import torch


def cpu_model() -> str:
    """The processor's model name, as the kernel tells it; the architecture where it does not."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def environment(world: int) -> dict[str, str | int]:
    """Everything that must be equal for a resume to be bit-exact."""
    return {
        "ranks": world,
        "threads_per_rank": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def differences(then: dict[str, str | int], now: dict[str, str | int]) -> list[str]:
    """One line in plain words for each thing that makes this resume not bit-exact."""
    return [
        f"not bit-exact: {key} was {then.get(key)!r}, is {now.get(key)!r}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
