"""The packages that are declared to be needed: there, and in a version that fits."""

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, problem
from pipelines.version import requirements

_INSTALL = "pip install -c constraints.txt -e . in the checkout, or pip install {} here"


def check(case: Case) -> Iterator[Finding]:
    """All requirements, then torch by importing it."""
    wrong = list(_wrong())
    yield from wrong
    if not wrong:
        yield ok("declared", f"all {len(_wanted())} are here, in versions that fit", count=len(_wanted()))
    yield _torch()


def _wanted() -> list[Requirement]:
    every = [Requirement(text) for text in requirements()]
    return [it for it in every if it.marker is None or it.marker.evaluate({"extra": ""})]


def _wrong() -> Iterator[Finding]:
    for wanted in _wanted():
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield problem(wanted.name, "is not installed", _INSTALL.format(f"'{wanted}'"))
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            seen = f"{found} is installed, but {wanted.specifier} is needed"
            yield problem(wanted.name, seen, _INSTALL.format(f"'{wanted}'"), version=found)


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that it is linked with is missing
        return problem("torch", f"cannot be imported: {error}", _INSTALL.format("torch"))
    threads = torch.get_num_threads()
    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    devices = torch.cuda.device_count() if torch.version.cuda else 0
    many = f", {devices} GPUs (Carousel trains on the CPU)" if devices else ""
    return ok(
        "torch",
        f"{torch.__version__}, {build}, {threads} threads{many}",
        version=str(torch.__version__),
        cuda=torch.version.cuda,
        threads=threads,
        gpus=devices,
    )
