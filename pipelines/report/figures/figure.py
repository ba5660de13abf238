"""What a figure is, and the look that all share.

Colours are tokens (`colour("model")`) that the page replaces by those of its theme, light or dark. They begin
with a control character, which no name can hold: `names.shown` takes them out.
"""

from dataclasses import dataclass, field
from typing import Any

Trace = dict[str, Any]

_MARK = "\x01"

BASELINES = ("amber", "green", "purple", "sky")
"""Colours of baselines, in their order; told apart by the colour-blind, and by line styles beside."""
DASHES = ("dash", "dot", "dashdot", "longdash")


def colour(name: str) -> str:
    """The token of a colour of the page's theme."""
    return _MARK + name


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One of several pictures of the same kind, of which the reader picks one."""

    label: str
    traces: list[Trace]
    shapes: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One plot."""

    id: str
    title: str
    caption: str
    """What to look for, for everybody; plain text."""
    alt: str
    """What it shows, for those who do not see it; plain text."""
    traces: list[Trace]
    layout: dict[str, Any]
    variants: tuple[Variant, ...] = ()
    """Where there are any, `traces` is empty."""

    def to_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {
            "id": self.id,
            "traces": self.traces,
            "layout": self.layout,
            "variants": [
                {"label": each.label, "traces": each.traces, "shapes": each.shapes} for each in self.variants
            ],
        }


def layout(
    *,
    x: str,
    y: str,
    height: int = 340,
    legend: bool = True,
    x_axis: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The layout that all figures share, with titles of the axes."""
    axis = {
        "gridcolor": colour("grid"),
        "linecolor": colour("line"),
        "zerolinecolor": colour("line"),
        "tickcolor": colour("line"),
        "automargin": True,
        "title": {"font": {"size": 12, "color": colour("muted")}, "standoff": 8},
        "tickfont": {"size": 11, "color": colour("muted")},
    }
    y_axis = more.pop("y_axis", {})
    return {
        "height": height,
        "margin": {"l": 48, "r": 16, "t": 36 if legend else 8, "b": 44},
        "showlegend": legend,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "color": colour("ink")},
        "hoverlabel": {
            "bgcolor": colour("card"),
            "bordercolor": colour("line"),
            "font": {"color": colour("ink"), "size": 12},
            "align": "left",
        },
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        "xaxis": {**axis, "title": {**axis["title"], "text": x}, "showgrid": False, **(x_axis or {})},  # type: ignore[dict-item]
        "yaxis": {**axis, "title": {**axis["title"], "text": y}, **y_axis},  # type: ignore[dict-item]
        **more,
    }


def vertical(at: Any, dash: str = "dot") -> dict[str, Any]:
    """A thin line from bottom to top."""
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": {"color": colour("faint"), "width": 1, "dash": dash},
        "layer": "below",
    }


def note_at(at: Any, text: str) -> dict[str, Any]:
    """Words at the top of a vertical line."""
    return {
        "xref": "x",
        "yref": "paper",
        "x": at,
        "y": 1,
        "text": text,
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "top",
        "font": {"size": 11, "color": colour("muted")},
    }
