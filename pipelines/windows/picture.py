"""A plan as one SVG: when each series has rows, where it is cut, and which split the times belong to."""

from collections.abc import Iterator
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from lstm.windows import SPLITS, Plan, Split
from pipelines.display.names import shown
from pipelines.windows.inspection import Inspection, picked, segment_times
from pipelines.windows.ticks import ticks

MOST = 36
"""Series that get a line of their own."""
_WIDTH, _LEFT, _RIGHT = 1200, 170, 250
_TOP, _ROW, _BAR = 128, 20, 12
_COLUMNS = 240
"""Steps of the strip that sums up all series."""
_HAIR = 0.4
"""Gaps narrower than this many pixels cannot be seen, and are not drawn."""
_COLOURS: dict[str, str] = {
    "train": "#3d6fb4",
    "validation": "#e39a35",
    "test": "#3f9a6d",
    "gap": "#f2c9c5",
    "short": "#b9c0ca",
    "none": "#dfe3e9",
    "few": "#f1f3f6",
    "ink": "#1f2933",
    "muted": "#66717f",
    "line": "#cfd5dd",
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def picture(plan: Plan, found: Inspection) -> str:
    """The SVG's text."""
    return _Picture(plan, found).draw()


class _Picture:
    def __init__(self, plan: Plan, found: Inspection) -> None:
        self.plan, self.found = plan, found
        self.numbers = picked(len(plan.series), MOST)
        self.first, self.last = segment_times(plan)
        self.bounds = np.searchsorted(plan.segments.series, np.arange(len(plan.series) + 1))
        self.begin, self.end = int(self.first.min()), int(self.last.max()) + plan.interval
        self.strip = len(self.numbers) < len(plan.series)
        self.height = _TOP + _ROW * (len(self.numbers) + 2 * self.strip) + 44
        self.svg = Xml.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {_WIDTH} {self.height}",
                "width": str(_WIDTH),
                "height": str(self.height),
                "font-family": _FONT,
                "font-size": "12",
                "fill": _COLOURS["ink"],
            },
        )

    def draw(self) -> str:
        self._rect(0, 0, _WIDTH, self.height, "#ffffff")
        self._head()
        self._axis()
        counts = {split: self.plan.windows_by_series(split) for split in SPLITS}
        rows = np.diff(self.plan.segments.series_first)
        y = float(_TOP)
        for place, number in enumerate(self.numbers):
            if self.strip and place == MOST // 2:
                left_out = len(self.plan.series) - len(self.numbers)
                self._text(_LEFT - 12, y + 13, f"… {left_out:,} more", "end", _COLOURS["muted"])
                y += _ROW
            self._text(_LEFT - 12, y + 13, shown(self.plan.series[number], 24), "end")
            self._series(number, y + (_ROW - _BAR) / 2)
            gaps = int(self.bounds[number + 1] - self.bounds[number]) - 1
            windows = sum(int(counts[split][number]) for split in SPLITS)
            self._numbers(y + 13, f"{int(rows[number]):,}", f"{gaps:,}", f"{windows:,}")
            y += _ROW
        if self.strip:
            self._strip(y + (_ROW - _BAR) / 2)
            self._text(_LEFT - 12, y + 13, f"all {len(self.plan.series):,} series", "end")
            total = sum(self.plan.windows(split) for split in SPLITS)
            self._numbers(y + 13, f"{self.found.rows:,}", f"{self.found.gaps:,}", f"{total:,}")
        return Xml.tostring(self.svg, encoding="unicode")

    def _head(self) -> None:
        found = self.found
        title = Xml.SubElement(self.svg, "title")
        title.text = f"Windows of {found.table}"
        self._text(24, 34, shown(found.table, 90), size=19, weight="600")
        self._text(
            24,
            56,
            f"windows of {found.context} + {found.horizon} rows; {found.rows:,} rows, "
            f"{found.series:,} series, {found.segments:,} segments; {found.reads.said}; an epoch fetches "
            f"about {found.reads.bytes_per_epoch / 1e6:,.1f} MB",
            colour=_COLOURS["muted"],
        )
        x = 24.0
        entries: list[tuple[str, str]] = [
            (split, f"{split}: {found.splits[split].windows:,} windows") for split in SPLITS
        ]
        entries += [("gap", "gap"), ("short", "too short for a window"), ("none", "in no split")]
        for name, said in entries:
            self._rect(x, 72, 12, 12, _COLOURS[name], corner=2)
            self._text(x + 18, 82, said)
            x += 18 + 6.6 * len(said) + 26

    def _axis(self) -> None:
        bottom = self.height - 36
        for time, said in ticks(self.begin, self.end, ordinal=self.plan.keys.ordinal):
            self._line(self._x(time), _TOP - 6, bottom, _COLOURS["line"])
            self._text(self._x(time), bottom + 18, said, "middle", _COLOURS["muted"])
        for split in SPLITS:
            begin, end = self._clipped(split)
            if begin < end:
                self._rect(self._x(begin), _TOP - 12, self._x(end) - self._x(begin), 5, _COLOURS[split])
        for split in SPLITS[1:]:
            begin, end = self._clipped(split)
            if begin < end:
                self._line(self._x(begin), _TOP - 12, bottom, _COLOURS[split], dash="4 3")
        self._numbers(_TOP - 8, "rows", "gaps", "windows", _COLOURS["muted"])

    def _clipped(self, split: Split) -> tuple[int, int]:
        """The times of a split, as far as the table goes."""
        first, end = self.plan.splits[split]
        return (
            self.begin if first is None else max(first, self.begin),
            self.end if end is None else min(end, self.end),
        )

    def _series(self, number: int, y: float) -> None:
        segments = slice(int(self.bounds[number]), int(self.bounds[number + 1]))
        first, last = self.first[segments], self.last[segments] + self.plan.interval
        x = self._x(int(first[0]))
        self._rect(x, y, self._x(int(last[-1])) - x, _BAR, _COLOURS["gap"], corner=2)
        long_enough = self.plan.segments.rows[segments] >= self.plan.window.length
        for begin, end, used in self._joined(first, last, long_enough):
            for colour, low, high in self._parts(begin, end) if used else [("short", begin, end)]:
                left = self._x(low)
                self._rect(left, y, max(self._x(high) - left, 0.6), _BAR, _COLOURS[colour])

    def _joined(
        self, first: NDArray[np.int64], last: NDArray[np.int64], used: NDArray[np.bool_]
    ) -> Iterator[tuple[int, int, bool]]:
        """Segments, those drawn as one between which no gap could be seen."""
        gap = (first[1:] - last[:-1]) * self._scale
        cut = np.flatnonzero((gap >= _HAIR) | (used[1:] != used[:-1])) + 1
        for part in np.split(np.arange(len(first)), cut):
            yield int(first[part[0]]), int(last[part[-1]]), bool(used[part[0]])

    def _parts(self, begin: int, end: int) -> Iterator[tuple[str, int, int]]:
        """A stretch of time by splits; what no split holds is underneath."""
        yield "none", begin, end
        for split in SPLITS:
            low, high = self._clipped(split)
            if max(low, begin) < min(high, end):
                yield split, max(low, begin), min(high, end)

    def _strip(self, y: float) -> None:
        """The share of all series that have rows, from pale (few) to full (all)."""
        edges = np.linspace(self.begin, self.end, _COLUMNS + 1)
        changes = np.zeros(_COLUMNS + 1)
        np.add.at(changes, np.clip(np.searchsorted(edges, self.first, side="right") - 1, 0, _COLUMNS - 1), 1)
        np.add.at(changes, np.clip(np.searchsorted(edges, self.last, side="right"), 1, _COLUMNS), -1)
        share = np.clip(np.cumsum(changes)[:-1] / len(self.plan.series), 0, 1)
        self._rect(_LEFT, y, self._x(self.end) - _LEFT, _BAR, _COLOURS["few"])
        width = (self._x(self.end) - _LEFT) / _COLUMNS
        middle = (edges[:-1] + edges[1:]) / 2
        for place in np.flatnonzero(share > 0).tolist():
            colour = next(
                (it for it in SPLITS if self._clipped(it)[0] <= middle[place] < self._clipped(it)[1]), "none"
            )
            cell = self._rect(_LEFT + place * width, y, width, _BAR, _COLOURS[colour])
            cell.attrib |= {"fill-opacity": f"{share[place]:.2f}", "shape-rendering": "crispEdges"}

    @property
    def _scale(self) -> float:
        """Pixels of one unit of time."""
        return (_WIDTH - _LEFT - _RIGHT) / (self.end - self.begin)

    def _x(self, time: int) -> float:
        return _LEFT + (time - self.begin) * self._scale

    def _numbers(self, y: float, rows: str, gaps: str, windows: str, colour: str | None = None) -> None:
        for said, right in ((rows, 176), (gaps, 106), (windows, 20)):
            self._text(_WIDTH - right, y, said, "end", colour)

    def _text(
        self,
        x: float,
        y: float,
        said: str,
        anchor: str = "start",
        colour: str | None = None,
        *,
        size: int = 12,
        weight: str = "400",
    ) -> None:
        places = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-size": str(size)}
        text = Xml.SubElement(self.svg, "text", places | {"font-weight": weight})
        if colour is not None:
            text.set("fill", colour)
        text.text = said

    def _rect(
        self, x: float, y: float, width: float, height: float, colour: str, corner: int = 0
    ) -> Xml.Element:
        places = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{width:.2f}", "height": f"{height:.2f}"}
        return Xml.SubElement(self.svg, "rect", places | {"fill": colour, "rx": str(corner)})

    def _line(self, x: float, top: float, bottom: float, colour: str, dash: str = "") -> None:
        places = {"x1": f"{x:.2f}", "x2": f"{x:.2f}", "y1": f"{top:.2f}", "y2": f"{bottom:.2f}"}
        line = Xml.SubElement(self.svg, "line", places | {"stroke": colour, "stroke-width": "1"})
        if dash:
            line.set("stroke-dasharray", dash)
