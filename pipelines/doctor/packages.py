"""The packages that are declared to be needed: there, and in a version that fits."""

import ctypes
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

from packaging.requirements import Requirement

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, problem, warning
from pipelines.version import requirements

_INSTALL = "pip install -c constraints.txt -e . in the checkout, or pip install {} here"
_COMPILER = "install a C compiler (apt-get install gcc), then Carousel again"


def check(case: Case) -> Iterator[Finding]:
    """Requirements, our own library, torch by loading its libraries: importing all of it takes seconds."""
    wrong = list(_wrong())
    yield from wrong
    if not wrong:
        yield ok("declared", f"all {len(_wanted())} are here, in versions that fit", count=len(_wanted()))
    yield _torch()
    yield _loops()
    yield _batches()


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
        version, cuda = _loaded(_folder())
    except (ImportError, OSError) as error:  # OSError: a library that it is linked with is missing
        return problem("torch", f"cannot be imported: {error}", _INSTALL.format("torch"))
    build = f"CUDA {cuda} build (Carousel trains on the CPU)" if cuda else "CPU build"
    return ok("torch", f"{version}, {build}", version=version, cuda=cuda)


def _loops() -> Finding:
    from storage.checkpoints.codecs.compiled import LOOPS, Compiled

    compiled = isinstance(LOOPS, Compiled)
    return _compiled("checkpoint codecs", compiled, "saves take about twice the CPU time")


def _batches() -> Finding:
    from lstm.windows.arrays.compiled import LOOPS

    return _compiled("window batches", LOOPS is not None, "a batch takes about half as long again")


def _compiled(name: str, compiled: bool, cost: str) -> Finding:
    if compiled:
        return ok(name, "compiled", compiled=compiled)
    seen = f"run in NumPy, as no C compiler was there at installation: {cost}"
    return warning(name, seen, _COMPILER, compiled=compiled)


def _folder() -> Path:
    found = util.find_spec("torch")
    if found is None or found.origin is None:
        raise ImportError("there is no such package")
    return Path(found.origin).parent


def _loaded(torch: Path) -> tuple[str, str | None]:
    """Its version, and the version of CUDA that it was built for."""
    spec = util.spec_from_file_location("_version_of_torch", torch / "version.py")
    assert spec is not None
    assert spec.loader is not None
    told = util.module_from_spec(spec)
    spec.loader.exec_module(told)
    for library in sorted((torch / "lib").glob("libtorch_python.*")):
        ctypes.CDLL(str(library))
    return str(told.__version__), told.cuda
