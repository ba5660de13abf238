"""The page: whole, closed to the network, and deaf to what names try to say."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipelines.display.names import file_name, label, shown
from pipelines.report.content import Missing, Scores, SeriesScore
from pipelines.report.drawn import drawn
from pipelines.report.page import json_block, page
from pipelines.report.scores import scores_of
from tests.pipelines.display.test_scores import evaluation

from .sample import HOSTILE, a_report, forecast_of

COLOURS = "#123456"


class Elements(HTMLParser):
    """Elements with their attributes, and what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def text() -> str:
    return page(a_report())


def test_hostile_names_make_no_element_and_no_attribute(text):
    found = Elements(text).found
    assert [tag for tag, _ in found].count("script") == 3
    assert {tag for tag, _ in found} & {"img", "iframe", "object", "i"} == set()
    assert [attrs for _, attrs in found if any(name.startswith("on") for name in attrs)] == []
    assert "<script>alert" not in text
    assert html.escape(HOSTILE[0]) in text


def test_the_figures_are_one_block_of_json_that_nothing_ends_early(text):
    block = Elements(text).scripts[0]
    figures = json.loads(block)
    assert len(figures) == sum(len(section) for section in drawn(a_report()).values())
    assert re.search(r"[<>&\u2028\u2029]", block) is None


def test_a_block_of_json_reads_back_whatever_stands_in_it():
    value = {"a": [*HOSTILE, "\u2028 ]]> <!--", 0.1, 1e-9, None, True, 1_700_000_000_123.5]}
    assert json.loads(json_block(value)) == value
    assert json.loads(json_block(["\ud800"])) == ["?"]


def test_the_policy_allows_the_pages_own_scripts_and_no_request(text):
    metas = [attrs for tag, attrs in Elements(text).found if tag == "meta"]
    policy = next(it["content"] for it in metas if it.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = policy.split("script-src")[1].split(";")[0]
    assert "unsafe" not in scripts
    assert "http" not in policy


def test_nothing_on_the_page_is_fetched_from_anywhere(text):
    for _, attrs in Elements(text).found:
        for name in ("src", "href", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:,"))


def test_every_section_says_what_is_missing_and_why():
    gone = Missing("The table is gone <b>for good</b>.")
    report = a_report(timing=gone, forecasts=gone, scores=gone)
    report = replace(report, quality=replace(report.quality, coverage=gone))
    made = page(report)
    assert made.count(html.escape(gone.reason)) == 5  # forecasts, scores, calibration, data, timing
    assert {figure.id for section in drawn(report).values() for figure in section} == {
        *("loss", "columns", "segments", "stored", "shared")
    }


def test_every_figure_is_one_that_plotly_takes():
    from plotly.graph_objects import Figure

    for section in drawn(a_report()).values():
        for figure in section:
            for traces in [figure.traces, *(variant.traces for variant in figure.variants)]:
                Figure(_painted({"data": traces, "layout": figure.layout}))


def _painted(value):
    if isinstance(value, str):
        return COLOURS if value.startswith("\x01") else value
    if isinstance(value, dict):
        return {key: _painted(each) for key, each in value.items()}
    return [_painted(each) for each in value] if isinstance(value, list | tuple) else value


def test_every_figure_and_table_has_words_for_those_who_do_not_see_it(text):
    for tag, attrs in Elements(text).found:
        if tag == "div" and "plot" in (attrs.get("class") or "").split():
            assert attrs["role"] == "img"
            assert len(attrs["aria-label"]) > 40
    for section in drawn(a_report()).values():
        assert all(figure.alt and figure.caption for figure in section)


@pytest.mark.parametrize("horizon", [1, 2, 24])
def test_horizons_of_any_length_have_a_line_and_a_band(horizon):
    report = a_report()
    report = replace(report, forecasts=replace(report.forecasts, series=(forecast_of("s", horizon),)))
    (figure,) = drawn(report)["forecasts"]
    (variant,) = figure.variants
    assert all(len(trace["x"]) == len(trace["y"]) >= 3 * horizon for trace in variant.traces)


def test_forecasts_that_are_no_numbers_leave_gaps():
    report = a_report()
    (first, *_) = report.forecasts.series
    window = replace(first.windows[0], quantiles=((None,) * 24, (None,) * 24, (None,) * 24))
    report = replace(
        report, forecasts=replace(report.forecasts, series=(replace(first, mae=None, windows=(window,)),))
    )
    page(report)


def test_of_100_000_series_a_page_is_small():
    figures = evaluation(8, zero=20, ridge=10)
    names = [f"series {n}" for n in range(100_000)]
    for report in (figures.model, *figures.baselines.values()):
        report["series"] = {
            name: {"mae": 1 + n % 7, "pinball": 1, "coverage": 1} for n, name in enumerate(names)
        }
    scores = scores_of(figures, (0.1, 0.5, 0.9))
    assert isinstance(scores, Scores)
    assert len(scores.series) == 30
    assert scores.series_total == 100_000
    assert all(isinstance(each, SeriesScore) for each in scores.series)
    assert len(page(a_report(scores=scores)).encode()) < 3_000_000


def test_names_are_harmless_as_text_as_label_and_as_a_file():
    for name in HOSTILE:
        assert len(shown(name)) <= 80
        assert not re.search(r"[\x00-\x1f\u202a-\u202e\u2066-\u2069]", shown(name))
        assert not set("<>") & set(label(name))
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", file_name(name))
    assert file_name("flights-2.x") == "flights-2.x"
    assert len({file_name(name) for name in HOSTILE}) == len(HOSTILE)
    assert shown(None) == "all rows"
