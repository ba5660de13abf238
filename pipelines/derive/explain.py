"""What was chosen and why, for a terminal and beside the keys of the YAML file."""

from collections.abc import Iterator
from typing import Any

from pipelines.config.model import RunConfig
from pipelines.config.template import scalar, template
from pipelines.derive.reasons import Reasons

_SHOWN = 44


def lines(config: RunConfig, reasons: Reasons) -> Iterator[str]:
    """One line per remark, and one per chosen setting."""
    for remark in reasons.remarks:
        yield f"· {remark}"
    values = flat(config)
    chosen = [(key, _short(values[key]), why) for key, why in reasons if key in values]
    key_width = max((len(key) for key, _, _ in chosen), default=0)
    width = max((len(value) for _, value, _ in chosen), default=0)
    for key, value, why in chosen:
        yield f"{key:<{key_width}}  {value:<{width}}  {why}"


def explained_yaml(config: RunConfig, reasons: Reasons) -> str:
    """The settings as a file: each chosen value with its reason."""
    return template(config, reasons=reasons.by_key, remarks=reasons.remarks)


def flat(config: RunConfig) -> dict[str, Any]:
    """Plain values by key: `window.context`."""
    values: dict[str, Any] = {}
    for section, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            values |= {f"{section}.{key}": inner for key, inner in value.items()}
        else:
            values[section] = value
    return values


def _short(value: object) -> str:
    text = scalar(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
