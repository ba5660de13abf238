"""Figures of several pairs and of both strides, put together."""

import statistics

COUNTS = {"gets_cold", "mb_cold"}
"""Not better when larger."""


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def both(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Figures of each stride, and the smaller one of those that both have."""
    names = set.intersection(*(set(figures) for figures in found.values()))
    return {
        **{f"{name}_{label}": value for label, figures in found.items() for name, value in figures.items()},
        **{name: min(figures[name] for figures in found.values()) for name in sorted(names - COUNTS)},
    }
