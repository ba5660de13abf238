"""Indexes that come in any order stand in the snapshot's order in the end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lstm.windows.index.file_index import FileIndex
from lstm.windows.index.gathered import COLUMNS, Gathered


def index_of(number: int, pieces: int) -> FileIndex:
    rows = np.full(pieces, number + 1, np.int32)
    times = np.arange(pieces, dtype=np.int64) + 1000 * number
    return FileIndex(
        file_groups=np.array([1]),
        group_rows=np.array([int(rows.sum())]),
        entities=[f"e{number}"],
        entity=np.zeros(pieces, np.int32),
        rows=rows,
        first_time=times,
        last_time=times + 1,
        regular=np.arange(pieces) % 2 == number % 2,
        steps={1: pieces},
    )


@given(sizes=st.lists(st.integers(0, 6), max_size=12), seed=st.integers(0, 99))
def test_columns_are_those_of_all_indexes_in_order(sizes, seed):
    indexes = [index_of(number, size) for number, size in enumerate(sizes)]
    gathered = Gathered()
    shares = {
        place: gathered.add(indexes[place])
        for place in np.random.default_rng(seed).permutation(len(sizes)).tolist()
    }
    assert all(np.array_equal(gathered.index(shares[it]).rows, indexes[it].rows) for it in shares)
    columns = gathered.columns([shares[place] for place in range(len(sizes))])
    for name, kind in COLUMNS.items():
        wanted = [getattr(index, name) for index in indexes] or [np.empty(0)]
        assert columns[name].dtype == kind
        assert columns[name].tolist() == np.concatenate(wanted).tolist()
