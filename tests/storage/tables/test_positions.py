"""Deletion vectors: decoded to the rows that were encoded, and never trusted when damaged."""

import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.tables import positions
from storage.tables.errors import SnapshotDamaged

from .delta_by_hand import framed, vector, z85

Rows = st.lists(st.integers(0, 3_000) | st.integers(0, 1 << 40), unique=True, max_size=60).map(sorted)


@settings(max_examples=60, deadline=None)
@given(Rows)
def test_rows_survive_encoding(rows):
    assert positions.framed(framed(vector(rows)), "here").tolist() == rows
    blob = vector(rows)
    assert positions.bare(positions.from_z85(z85(blob))[: len(blob)], "here").tolist() == rows


@settings(max_examples=60, deadline=None)
@given(Rows, st.integers(0, 2_900), st.integers(0, 100))
def test_kept_marks_the_rows_that_are_not_deleted(rows, start, count):
    mask = positions.kept(np.array(rows, np.int64), start, count)
    expected = [number not in set(rows) for number in range(start, start + count)]
    assert all(expected) if mask is None else mask.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_or_a_missing_end_is_noticed(data):
    blob = bytearray(framed(vector([1, 70_000, 1 << 33])))
    if data.draw(st.booleans()):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del blob[data.draw(st.integers(0, len(blob) - 1)) :]
    with pytest.raises(SnapshotDamaged, match="at here is damaged"):
        positions.framed(bytes(blob), "here")


def test_a_vectors_file_is_named_by_its_prefix_and_uuid():
    name = uuid.UUID("d2c639aa-8816-431a-aaf6-d3fe2512ff61")
    # The example of Delta's PROTOCOL.md.
    assert positions.relative_path("ab^-aqEH.-t@S}K{vb[*k^") == f"ab/deletion_vector_{name}.bin"
    assert positions.relative_path(z85(name.bytes)) == f"deletion_vector_{name}.bin"
