"""`--json`: one document that any JSON reader takes."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli.answers import print_json


class Colour(StrEnum):
    red = "red"


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, None),
        ({"loss": math.inf, "best": -math.inf}, {"loss": None, "best": None}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(minutes=1.5), 90.0),
        (Path("/a/b"), "/a/b"),
        (Colour.red, "red"),
        (Point(1, math.nan), {"x": 1, "y": None}),
        ((1, True, None, "é"), [1, True, None, "é"]),
        ({"b", "a"}, ["a", "b"]),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        ({1: "one"}, {"1": "one"}),
    ],
)
def test_what_answers_are_made_of_becomes_plain_json(value, written, capsys):
    print_json(value)
    assert json.loads(capsys.readouterr().out) == written


def test_what_no_answer_should_hold_is_refused():
    with pytest.raises(TypeError, match="object"):
        print_json(object())
