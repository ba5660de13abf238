"""The interpreter, and what the system lets it have."""

import platform
import resource
import sys
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, problem, warning
from pipelines.version import python_range, version

FEW_FILES = 1024
"""Open files below which a training with many ranks and connections may run out of them."""


def check(case: Case) -> Iterator[Finding]:
    """Carousel's and Python's versions, open files."""
    yield ok("carousel", f"{version()}, on {platform.system()} {platform.machine()}", version=version())
    yield _python(platform.python_version(), python_range())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _files(soft, hard)


def _python(found: str, wanted: str) -> Finding:
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return ok("python", f"{found} in {sys.prefix}", version=found, wanted=wanted)
    remedy = f"make a virtual environment with Python {wanted} and install Carousel there"
    return problem("python", f"{found}, but {wanted} is needed", remedy, version=found, wanted=wanted)


def _files(soft: int, hard: int) -> Finding:
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        many = "no limit" if soft == resource.RLIM_INFINITY else f"{soft:,} may be open at once"
        return ok("open files", many, soft=soft, hard=hard)
    remedy = f"ulimit -n {FEW_FILES if hard < 0 else min(FEW_FILES, hard)} in this shell, before Carousel"
    return warning("open files", f"only {soft:,} may be open at once", remedy, soft=soft, hard=hard)
