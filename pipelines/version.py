"""Which Carousel this is."""

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTION = "carousel-lstm"


def version() -> str:
    """The version that is installed, or that of the checkout that runs."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return str(project()["version"])


def requirements() -> list[str]:
    """What is declared to be needed, as requirement strings, extras included."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return list(project()["dependencies"])


def python_range() -> str:
    """The versions of Python that are declared to do, as `>=3.11,<3.12`."""
    try:
        return metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except metadata.PackageNotFoundError:
        return str(project()["requires-python"])


def project() -> dict[str, Any]:
    """The `[project]` table of the checkout that runs; of an installed package there is none."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found
