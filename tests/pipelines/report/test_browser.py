"""In a real browser: no complaint, no request, marks in every plot; in any theme and size, and on paper."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.drawn import drawn
from pipelines.report.page import page

from .browser import PROGRAM, Tab, chromium
from .sample import HOSTILE, a_report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")

MARKS = """Object.fromEntries([...document.querySelectorAll('.plot')].map((plot) => [
    plot.id,
    [...plot.querySelectorAll('.js-line, .js-fill, path.point, .point path, .hm image')].filter((mark) => {
        const box = mark.getBoundingClientRect();
        return box.width > 0 || box.height > 0;
    }).length,
]))"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(a_report()))
    return path


def in_browser(made: Path, look: Callable[[Tab], Awaitable[Any]], tmp_path: Path, **options: Any) -> Any:
    """Open the page, look at it, and make sure that nothing has complained or asked for anything."""

    async def run() -> Any:
        async with chromium(tmp_path / "profile") as tab:
            await tab.open(made, **options)
            found = await look(tab)
            assert tab.complaints == []
            assert [it for it in tab.requests if not it.startswith(("file:", "data:", "blob:"))] == []
            return found

    return asyncio.run(run())


def test_every_plot_has_marks_in_light_and_dark(made, tmp_path):
    async def look(tab: Tab) -> None:
        plots = {f"plot-{figure.id}" for section in drawn(a_report()).values() for figure in section}
        backgrounds = set()
        for _ in range(2):
            marks = await tab.evaluate(MARKS)
            assert marks.keys() == plots
            assert [plot for plot, count in marks.items() if not count] == []
            backgrounds.add(await tab.evaluate(BACKGROUND))
            await tab.evaluate("document.getElementById('theme').click()")
            await tab.evaluate("new Promise((done) => setTimeout(done, 300))")
        assert len(backgrounds) == 2

    in_browser(made, look, tmp_path)


def test_a_phone_shows_it_without_scrolling_sideways(made, tmp_path):
    async def look(tab: Tab) -> None:
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        wide = (
            "[...document.querySelectorAll('.plot svg.main-svg')].filter((it) => it.clientWidth > 390).length"
        )
        assert await tab.evaluate(wide) == 0
        assert await tab.evaluate(BACKGROUND) == "rgb(15, 20, 26)"  # the system's dark theme

    in_browser(made, look, tmp_path, width=390, dark=True)


def test_the_picker_shows_each_series_and_names_it(made, tmp_path):
    async def look(tab: Tab) -> None:
        names = []
        for _ in HOSTILE:
            names.append(
                await tab.evaluate("document.getElementById('pick-forecast').selectedOptions[0].text")
            )
            assert (await tab.evaluate(MARKS))["plot-forecast"] > 2
            await tab.evaluate("document.querySelector('button[data-by=\"1\"]').click()")
        assert len(set(names)) == len(HOSTILE)
        assert any("<script>alert(1)</script>" in name for name in names)

    in_browser(made, look, tmp_path)


def test_on_paper_every_plot_and_every_series_is_there_in_white(made, tmp_path):
    async def look(tab: Tab) -> None:
        await tab.evaluate(
            """void addEventListener('beforeprint', () => {
                const plots = [...document.querySelectorAll('.plot')];
                window.printed = {
                    plots: plots.length,
                    drawn: plots.filter((it) => it.querySelector('.main-svg')).length,
                    closed: document.querySelectorAll('details:not([open])').length,
                };
            })"""
        )
        pdf = await tab.print()
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 4
        every = sum(len(section) for section in drawn(a_report()).values()) + len(HOSTILE) - 1
        assert await tab.evaluate("window.printed") == {"plots": every, "drawn": every, "closed": 0}
        await tab.call("Emulation.setEmulatedMedia", media="print")
        assert await tab.evaluate(BACKGROUND) == "rgb(255, 255, 255)"

    in_browser(made, look, tmp_path, dark=True)
