"""Training in this process instead of under torchrun, which starts and imports torch twice for each run.

For tests of what stands around a training of one rank. That ranks are started, followed and ended is what
tests/lstm/training and the runs of test_flows.py, test_access.py and upkeep/test_status.py promise.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from subprocess import Popen

import pytest
import torch
import torch.distributed as dist

from lstm.training.launch import _torchrun
from lstm.training.lifeline import PARENT


@dataclass
class Done:
    """What a rank has told, and how it ended, as of a process that is over."""

    stdout: list[str]
    code: int

    def wait(self) -> int:
        return self.code


@contextmanager
def run_it_here(
    ranks: int, worker: str, meeting: str, environment: dict[str, str], errors: int
) -> Iterator[Done | Popen[str]]:
    """What `lstm.training.launch` calls to start its ranks; one alone has run when it begins."""
    if ranks > 1:
        with _torchrun(ranks, worker, meeting, environment, errors) as process:
            yield process
        return
    told, threads = io.StringIO(), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for name in environment.keys() - {PARENT}:  # with that, the tests would end with their parent
            patch.setenv(name, environment[name])
        patch.setenv("RANK", "0")
        patch.setenv("WORLD_SIZE", "1")
        try:
            with redirect_stdout(told):
                code = import_module(worker).main()
        finally:
            if dist.is_initialized():  # it failed
                dist.destroy_process_group()
            torch.use_deterministic_algorithms(False)
            torch.set_num_threads(threads)
    yield Done(told.getvalue().splitlines(keepends=True), code)
