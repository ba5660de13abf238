"""The settings as a JSON schema, and as a YAML file that explains every key."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipelines.config.checks import section
from pipelines.config.model import RunConfig

_WIDTH = 100


def schema() -> dict[str, Any]:
    """JSON schema of a run's YAML file: editors complete and check with it."""
    described = RunConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def template(
    config: RunConfig, *, reasons: Mapping[str, str] | None = None, remarks: Sequence[str] = ()
) -> str:
    """`config` as YAML, each key with what it means and its unit.

    The text comes from the parts' own docstrings; `load` reads it back to the same config.

    Args:
        config: the settings.
        reasons: by key (`window.context`): why it has its value.
        remarks: about the table; they stand at the top.
    """
    return "\n".join(_lines(config, reasons or {}, remarks)) + "\n"


def _lines(config: RunConfig, reasons: Mapping[str, str], remarks: Sequence[str]) -> Iterator[str]:
    whole = RunConfig.model_json_schema()
    yield "# A run of Carousel. `carousel config check` reads it as the other commands do."
    yield "# Every key can be overridden: --set training.steps=100, or CAROUSEL_TRAINING__STEPS=100."
    for remark in remarks:
        yield from _comment(f"Table: {remark}", "")
    for key, value in config.model_dump(mode="json").items():
        node = whole["properties"][key]
        yield ""
        if not isinstance(value, dict):
            yield from _comment(node["description"], "")
            yield from _why(key, reasons, "")
            yield f"{key}: {scalar(value)}"
            continue
        part = section(node, whole)
        yield from _comment(part["description"], "")
        yield f"{key}:"
        for inner, inner_value in value.items():
            yield from _comment(part["properties"][inner].get("description", ""), "  ")
            yield from _why(f"{key}.{inner}", reasons, "  ")
            yield f"  {inner}: {scalar(inner_value)}"


def _why(key: str, reasons: Mapping[str, str], indent: str) -> Iterator[str]:
    if key in reasons:
        yield from _comment(f"Why: {reasons[key]}", indent)


def _comment(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.replace("`", "").split("\n\n"):
        yield from textwrap.wrap(
            " ".join(paragraph.split()),
            _WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
        )


def scalar(value: object) -> str:
    """A value on one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
