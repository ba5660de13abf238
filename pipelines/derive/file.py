"""The settings file of a run that is named by its table: used where it is there, written where it is not."""

from pathlib import Path

from pipelines.config.load import load
from pipelines.config.model import RunConfig
from pipelines.config.text import ConfigError
from pipelines.derive.derive import Derived
from pipelines.derive.explain import explained_yaml


def settings_for(path: Path, table: str) -> RunConfig | None:
    """The settings that are there already for this table; None: no file.

    Raises:
        ConfigError: the file is of another table, or cannot be read.
    """
    if not path.exists():
        return None
    known = load(path)
    if known.table.uri.rstrip("/") != table.rstrip("/"):
        raise ConfigError(
            f"{path} is of another table, {known.table.uri}; name another file with -c FILE, or replace it "
            "with --force"
        )
    return known


def check_writable(path: Path) -> None:
    """Refuse a place where no file can be written, before anything is measured for it.

    Raises:
        ConfigError: says why.
    """
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; name another file")
    if not path.parent.is_dir():
        raise ConfigError(
            f"cannot write {path}: there is no folder {path.parent}; make it, or name another file"
        )


def write(path: Path, derived: Derived) -> None:
    """Write the settings with their reasons.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = explained_yaml(derived.config, derived.reasons)
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another file with -c FILE") from error
