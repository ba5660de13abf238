"""What every benchmark prints last: one line of JSON with its figures, the machine and the versions."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from lstm.training.environment import cpu_model

_VERSIONS = ("torch", "deltalake", "pyiceberg", "pyarrow", "boto3", "prefect")
_ROOT = Path(__file__).parents[1]


class Peak:
    """Largest resident memory of this process and all its children, sampled; in MB."""

    def __init__(self) -> None:
        self.mb = 0.0

    def sample(self) -> None:
        """Look once; call it often."""
        total = 0
        for process in (me := psutil.Process(), *me.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:  # it ended meanwhile
                continue
        self.mb = max(self.mb, total / 2**20)


def print_result(
    benchmark: str, *, quick: bool, figures: Mapping[str, float], peers: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print the line that tools read."""
    result = {
        "benchmark": benchmark,
        "commit": _commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}},
        "quick": quick,
        "figures": dict(figures),
        "peers": {name: dict(values) for name, values in peers.items()},
    }
    print(json.dumps(result))


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
