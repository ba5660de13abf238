"""Run all groups of checks at the same time, within a bounded time, whatever they run into."""

import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, problem, warning

LIMIT_S = 8.5
"""Seconds of the command after which a group that has not come to its end is told as such."""

Check = Callable[[Case], Iterator[Finding]]


def _of(module: str) -> Check:
    """The checks of a module, which is imported beside the others' work: some take a second to import."""

    def check(case: Case) -> Iterator[Finding]:
        found: Iterator[Finding] = import_module(f"pipelines.doctor.{module}").check(case)
        return found

    return check


GROUPS: dict[str, Check] = {
    "Python": _of("python"),
    "Packages": _of("packages"),
    "Settings": _of("settings"),
    "Bucket": _of("bucket"),
    "Servers": _of("servers"),
    "Ports": _of("ports"),
    "Prefect": _of("prefect"),
    "Disk": _of("disk"),
    "Memory": _of("memory"),
}


def examine(case: Case, limit_s: float = LIMIT_S) -> dict[str, list[Finding]]:
    """Everything that was found, by group."""
    patients = {name: _Group(name, check, case) for name, check in GROUPS.items()}
    deadline = time.monotonic() + limit_s
    for patient in patients.values():
        patient.start()
    for patient in patients.values():
        patient.join(max(0.0, deadline - time.monotonic()))
    return {name: patient.told(limit_s) for name, patient in patients.items()}


class _Group(threading.Thread):
    """One group; a daemon, so that one that hangs holds nobody up."""

    def __init__(self, name: str, check: Check, case: Case) -> None:
        super().__init__(name=f"doctor-{name}", daemon=True)
        self._check, self._case = check, case
        self._found: list[Finding] = []

    def run(self) -> None:
        try:
            for finding in self._check(self._case):
                self._found.append(finding)
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding too; the others go on
            self._found.append(
                problem(
                    "this check",
                    f"failed: {type(error).__name__}: {error}",
                    "this is a fault of Carousel, or something that it did not think of; please report it",
                )
            )

    def told(self, limit_s: float) -> list[Finding]:
        if not self.is_alive():
            return self._found
        late = warning(
            "the rest of this",
            f"no answer within {limit_s:.1f} s",
            "run it again on a quieter machine; if it stays so, look at what the last line before names",
        )
        return [*self._found, late]
