"""constraints.txt names the exact version of everything that an installation pulls in, extras included."""

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_OURS = {"torch"}
"""What a build of it pulls in (CUDA's packages, triton) differs from build to build."""


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def applies(wanted: Requirement, extras: set[str]) -> bool:
    return wanted.marker is None or any(wanted.marker.evaluate({"extra": it}) for it in extras | {""})


def pulled_in(wanted: Requirement, seen: set[tuple[str, frozenset[str]]]) -> Iterator[Requirement]:
    """A requirement and what it requires in turn, as far as it is installed here."""
    name = canonicalize_name(wanted.name)
    key = (name, frozenset(wanted.extras))
    if key in seen:
        return
    seen.add(key)
    yield wanted
    if name in NOT_OURS:
        return
    try:
        requires = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for text in requires:
        if applies(further := Requirement(text), wanted.extras):
            yield from pulled_in(further, seen)


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_everything_that_an_extra_pulls_in_is_pinned_to_a_version_that_fits(extra: str) -> None:
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    pinned, seen = pins(), set[tuple[str, frozenset[str]]]()
    for requirement in (it for text in wanted for it in pulled_in(Requirement(text), seen)):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, requirement.name
        assert requirement.specifier.contains(version, prereleases=True), requirement
