"""How many requests a Parquet file takes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.local_files import LocalFiles
from storage.tables.parquet import ParquetSource
from storage.tables.ranged import Meter, Place


class Counted(LocalFiles):
    def __init__(self):
        super().__init__()
        self.requests = 0

    def get_range(self, key, start, length):
        self.requests += 1
        return super().get_range(key, start, length)


@pytest.fixture
def opened(tmp_path):
    """Opens a file of two row groups of random numbers; gives the bucket too."""

    def make(rows: int):
        path = tmp_path / "a.parquet"
        numbers = np.random.default_rng(0).integers(0, 1 << 60, rows)
        pq.write_table(pa.table({"n": numbers}), path, row_group_size=rows // 2, use_dictionary=False)
        files = Counted()
        place = Place(files, str(path).removeprefix("/"), path.stat().st_size, "a snapshot", Meter())
        return ParquetSource(place), numbers, files

    return make


def test_a_small_file_takes_one_request_for_footer_and_rows(opened):
    source, numbers, files = opened(1_000)
    (column,) = source.read(1, [0])
    assert column.to_pylist() == numbers[500:].tolist()
    assert files.requests == 1


def test_a_small_files_bytes_are_not_kept_for_its_second_row_group(opened):
    source, numbers, files = opened(1_000)
    source.read(1, [0])
    (column,) = source.read(0, [0])
    assert column.to_pylist() == numbers[:500].tolist()
    assert files.requests == 2


def test_of_a_large_file_footer_and_rows_are_fetched_apart(opened):
    source, numbers, files = opened(100_000)
    (column,) = source.read(0, [0])
    assert column.to_pylist() == numbers[:50_000].tolist()
    assert files.requests == 2
