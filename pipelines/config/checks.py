"""What pydantic refuses, in the settings file's words: the key, the value, what is allowed, and where."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipelines.config.text import ConfigError, Origins, closest

ModelT = TypeVar("ModelT", bound=BaseModel)

SECRET_WORDS = ("key", "secret", "password", "passwd", "pwd", "token", "credential")
"""Where one of these is part of a key's name, its value is taken for a secret."""
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text (in quotes if it looks like a number)",
    "tuple": "a list: [a, b]",
    "list": "a list: [a, b]",
    "dataclass": "a section: its keys stand indented below it",
    "model": "a section: its keys stand indented below it",
    "time": "a duration: 30s, 10min, 1h, 2d",
}


def checked(
    model: type[ModelT], values: Mapping[str, Any], origins: Origins, above: tuple[str, ...] = ()
) -> ModelT:
    """`values` as a `model`; `above` are the keys above its section.

    Raises:
        ConfigError: says each wrong key.
    """
    try:
        text = json.dumps(values, default=str)
    except (ValueError, TypeError) as error:  # an alias inside its own anchor; keys that are no text
        raise ConfigError(f"the settings are no plain sections, lists and values: {error}") from None
    try:
        # JSON's strict rules: no number in quotes, no `true` for 1, and a list where a tuple is kept
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        lines = list(_explain(error, model.model_json_schema(), origins, above))
        raise ConfigError("\n".join(lines) if len(lines) == 1 else _numbered(lines)) from None


def _numbered(lines: list[str]) -> str:
    return f"{len(lines)} settings are wrong:\n" + "\n".join(f"  {line}" for line in lines)


def _explain(
    error: ValidationError, schema: dict[str, Any], origins: Origins, above: tuple[str, ...]
) -> Iterator[str]:
    for detail in error.errors():
        path = tuple(str(part) for part in detail["loc"])
        key = ".".join((*above, *path))
        if detail["type"] == "value_error":
            # the part's own check names its class: TrainingConfig.steps is training.steps here
            named = re.findall(r"\b[A-Z]\w+\.([a-z]\w*)", str(detail["ctx"]["error"]))
            reason = re.sub(r"\b[A-Z]\w+\.(?=[a-z])", f"{key}.", str(detail["ctx"]["error"]))
            reason, path = (reason, (*path, named[0])) if named else (f"{key}: {reason}", path)
        else:
            reason = f"{key}: {_reason(detail, path, schema, above)}"
        yield reason + _place((*above, *path), origins)


def _reason(
    detail: ErrorDetails, path: tuple[str, ...], schema: dict[str, Any], above: tuple[str, ...]
) -> str:
    kind, value = detail["type"], detail["input"]
    about: str = _node(path, schema).get("description", "")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return _unknown(path, schema, (*above, *path)[0])
    if kind == "missing":
        return f"is missing; expected: {about}"
    if kind == "literal_error":
        return f"{_shown(value)} is not one of {detail['ctx']['expected']}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} is not allowed; expected: {about}"
    expected = _EXPECTED.get(kind.split("_")[0])
    if expected is None:
        return f"{_shown(value)}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return f"{_shown(value)} is not {expected}"


def _unknown(path: tuple[str, ...], schema: dict[str, Any], section_name: str) -> str:
    keys = sorted(section(_node(path[:-1], schema), schema).get("properties", {}))
    if ("access" in path or section_name == "storage") and any(
        word in path[-1].lower() for word in SECRET_WORDS
    ):
        variables = ("CAROUSEL_DATA_{}" if "access" in path else "AWS_{}").format
        return (
            f"keys never stand in the configuration; set {variables('ACCESS_KEY_ID')} and "
            f"{variables('SECRET_ACCESS_KEY')} in the environment, name a profile, or leave them to "
            "the AWS credential chain"
        )
    meant = closest(path[-1], keys)
    return f"no such key; {f'did you mean {meant}? ' if meant else ''}Allowed here: {', '.join(keys)}"


def _node(path: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    """The part of the JSON schema that describes the value at `path`; empty where there is none."""
    node: dict[str, Any] = schema
    for part in path:
        node = section(node, schema).get("properties", {}).get(part, {})
    return node


def section(node: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The schema of the section that `node` refers to, or `node` itself."""
    for option in (node, *node.get("anyOf", ())):
        if "$ref" in option:
            found: dict[str, Any] = whole["$defs"][option["$ref"].rpartition("/")[2]]
            return found
    return node


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _place(path: tuple[str, ...], origins: Origins) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return f"  [{origins[path[:length]]}]"
    return ""
