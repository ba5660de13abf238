"""Text to plain values: the YAML file, `CAROUSEL_SECTION__KEY` variables, and `--set section.key=value`.

YAML is read with the rules of its version 1.2: `no` is a word and `1e-3` is a number. Each value's origin
is kept, so that an error can say which line, variable or argument it comes from.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from storage.errors import UserError

Origins = dict[tuple[str, ...], str]
"""Where the value at each path of keys comes from, in words: `carousel.yaml line 3`."""

PREFIX = "CAROUSEL_"


class ConfigError(UserError):
    """A setting is wrong; the message names the key, its value, and what is allowed."""


class _Yaml(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML wants it


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def read_yaml(text: str, name: str) -> tuple[dict[str, Any], Origins]:
    """Parse a file's text. `name` is what origins and errors call it.

    Raises:
        ConfigError: not YAML, not a mapping of keys at the top, or a key given twice.
    """
    try:
        node = yaml.compose(text, Loader=_Yaml)
        values = yaml.load(text, Loader=_Yaml)  # noqa: S506 - _Yaml is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: not YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError) as error:  # a tag that does not fit: !!int abc
        raise ConfigError(f"{name}: not YAML: {error}") from None
    if node is None:
        return {}, {}
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected sections with keys (window: ...), found {_kind(values)}")
    return values, dict(_origins(node, (), name))


def _origins(node: yaml.Node, path: tuple[str, ...], name: str) -> Iterable[tuple[tuple[str, ...], str]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            raise ConfigError(
                f"{name} line {line}: {'.'.join((*path, key.value))} is given twice "
                f"(first on line {seen[key.value]}); keep one"
            )
        seen[key.value] = line
        yield (*path, key.value), f"{name} line {line}"
        yield from _origins(value, (*path, key.value), name)


def read_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], Origins]:
    """Settings among environment variables: `CAROUSEL_TRAINING__STEPS=100` is `training.steps`.

    Only variables with two underscores between section and key are settings; `CAROUSEL_ROOT` is not.
    """
    values: dict[str, Any] = {}
    origins: Origins = {}
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and "__" in variable:
            path = tuple(part.lower() for part in variable.removeprefix(PREFIX).split("__"))
            _put(values, origins, path, environment[variable], f"environment variable {variable}")
    return values, origins


def read_assignments(assignments: Iterable[str]) -> tuple[dict[str, Any], Origins]:
    """Settings of the command line: `training.steps=100`."""
    values: dict[str, Any] = {}
    origins: Origins = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment}: expected section.key=value, as in training.steps=100")
        _put(values, origins, tuple(key.strip().split(".")), text, f"--set {key.strip()}")
    return values, origins


def _put(values: dict[str, Any], origins: Origins, path: tuple[str, ...], text: str, origin: str) -> None:
    try:
        value = yaml.load(text, Loader=_Yaml)  # noqa: S506 - _Yaml is a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not a YAML value: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError) as error:  # a tag that does not fit: !!int abc
        raise ConfigError(f"{origin}: not a YAML value: {error}") from None
    for key in path[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{origin}: set both as a value and as a section")
    values[path[-1]] = value
    origins[path] = origin


def overridden(
    values: Mapping[str, Any], origins: Origins, environment: Mapping[str, str], assignments: Iterable[str]
) -> tuple[dict[str, Any], Origins]:
    """`values`, over them the environment's settings, over both the command line's."""
    merged, where = dict(values), dict(origins)
    for above, above_origins in (read_environment(environment), read_assignments(assignments)):
        merged = _merge(merged, above)
        where |= above_origins
    return merged, where


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above` in their places; sections are merged key by key."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]  # `both` says dict
    return merged


def closest(word: str, words: Iterable[str]) -> str | None:
    """The word that somebody who typed `word` most likely meant."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None


def _kind(value: object) -> str:
    return {list: "a list", str: "text", int: "a number", float: "a number"}.get(type(value), repr(value))
