"""Read a run's settings, and check them: the file, over it the environment, over both the command line."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.config.checks import checked
from pipelines.config.model import RunConfig
from pipelines.config.storage import StorageConfig
from pipelines.config.text import ConfigError, Origins, overridden, read_yaml


def load(
    path: Path, *, assignments: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> RunConfig:
    """Read the YAML file at `path`; the environment overrides it, and `assignments` override both.

    Args:
        path: the YAML file.
        assignments: `section.key=value`, as `--set` takes them.
        environment: where `CAROUSEL_SECTION__KEY` is looked for; None: this process's.

    Raises:
        ConfigError: says each wrong key, where it stands, its value, and what is allowed.
    """
    return validated(*_read(path), assignments=assignments, environment=environment)


def load_storage(
    path: Path, *, assignments: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> StorageConfig:
    """The section `storage` of the YAML file at `path`, which may have no other; as `load` otherwise."""
    values, origins = _read(path)
    if set(values) == {"storage"} and isinstance(values["storage"], dict):
        variables = os.environ if environment is None else environment
        merged, origins = overridden(values, origins, variables, assignments)
        return checked(StorageConfig, merged["storage"], origins, ("storage",))
    return validated(values, origins, assignments=assignments, environment=environment).storage


def _read(path: Path) -> tuple[dict[str, Any], Origins]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}; `carousel config init` writes one to begin with") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    return read_yaml(text, path.name)


def validated(
    values: Mapping[str, Any],
    origins: Origins | None = None,
    *,
    assignments: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> RunConfig:
    """Check plain values, under the same overrides as `load`."""
    variables = os.environ if environment is None else environment
    return checked(RunConfig, *overridden(values, origins or {}, variables, assignments))
