"""How long a person waits for `carousel --help`, beside the commands that people know from its neighbours.

    python -m benchmarks.start_up

Every round starts each command once, in turn; wall and processor seconds are medians over the rounds.
An empty Python is the limit: no command can answer sooner.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.report import print_result

_COMMANDS: dict[str, Sequence[str]] = {
    "python": ("-c", "pass"),
    "carousel": ("-m", "pipelines.cli", "--help"),
    "prefect": ("-m", "prefect", "--help"),
    "torchrun": ("-m", "torch.distributed.run", "--help"),
}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    asked = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in _COMMANDS}
    for _ in range(3 if asked.quick else 11):
        for name, arguments in _COMMANDS.items():
            taken[name].append(_seconds(arguments))
    peers = {
        name: {"wall_s": round(wall, 3), "processor_s": round(processor, 3)}
        for name, (wall, processor) in ((name, _medians(times)) for name, times in taken.items())
    }
    help_s, empty_s = peers["carousel"]["wall_s"], peers["python"]["wall_s"]
    figures = {"help_s": help_s, "over_empty_python": round(help_s / empty_s, 2)}
    print_result("start_up", quick=asked.quick, figures=figures, peers=peers)


def _seconds(arguments: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of one start."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def _medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    walls, processors = zip(*times, strict=True)
    return statistics.median(walls), statistics.median(processors)


if __name__ == "__main__":
    main()
