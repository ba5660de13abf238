"""One value has one text."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.checkpoints import Damaged
from storage.checkpoints.format import canonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_values_come_back_and_have_one_text(value):
    try:
        text = canonical.dumps(value)
    except ValueError:
        with pytest.raises(UnicodeEncodeError):  # a lone surrogate
            json.dumps(value, ensure_ascii=False).encode()
        return
    assert canonical.loads(text, "it") == value
    assert canonical.dumps(canonical.loads(text, "it")) == text


def test_text_is_the_one_of_the_format():
    value = {"ä": [1, 1.0, -0.0, 1e22, 0.1, True, None], "a": {"z": '\n\u2028"', "b": 2**70}}
    assert canonical.dumps(value) == (
        '{"a":{"b":1180591620717411303424,"z":"\\n\u2028\\""},"ä":[1,1.0,-0.0,1e+22,0.1,true,null]}'.encode()
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"loss": {"best": [1.0, math.inf]}}, "/loss/best/1: inf"),
        ({"a": math.nan}, "/a: nan"),
        ({1: 2}, "key 1"),
        ({"a": b"bytes"}, "bytes"),
        ({"a": "\ud800"}, "surrogate"),
    ],
)
def test_values_that_json_lacks_are_refused_by_their_place(value, said):
    with pytest.raises(ValueError, match=said):
        canonical.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b"[1e400]",
        b"[NaN]",
        b"[Infinity]",
        b'["\\u0041"]',
        b"[1.00]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" + b"9" * 5000 + b"]",
        "\ufeff[]".encode(),
    ],
)
def test_any_other_text_is_damaged(text):
    with pytest.raises(Damaged, match="thing"):
        canonical.loads(text, "thing")


def test_a_reader_deep_in_pythons_stack_does_not_take_a_good_text_for_damage():
    text = b"[" * 100 + b'"]]\\"[["' + b"]" * 100

    def deeper() -> None:
        canonical.loads(text, "thing")
        deeper()

    with pytest.raises(RecursionError):
        deeper()
