"""What the text of a file becomes: numbers, words, true and false, missing; one type for all files."""

import bz2
import gzip
import math
import string
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from pipelines.sources import body
from storage.errors import UserError

HEAD = "time,x\n"
TIMES = [f"2024-01-0{day}" for day in range(1, 10)]


def column(*values: str) -> str:
    """A CSV file with these values of `x`."""
    return HEAD + "".join(f"{time},{value}\n" for time, value in zip(TIMES, values, strict=False))


@pytest.mark.parametrize(
    ("values", "type_", "becomes"),
    [
        (["1", "2", "-3"], pa.int64(), [1, 2, -3]),
        (["1", "2.5", "+3"], pa.float64(), [1.0, 2.5, 3.0]),
        (["1e3", ".5", "5."], pa.float64(), [1000.0, 0.5, 5.0]),
        (["1", "", "3"], pa.int64(), [1, None, 3]),
        (["1.5", "NA", "nan", "NaN", "null", "None", " ", "N/A"], pa.float64(), [1.5] + 7 * [None]),
        ([" 1.5", "2 "], pa.float64(), [1.5, 2.0]),
        (["true", "False", ""], pa.bool_(), [True, False, None]),
        (["north", "NA", ""], pa.string(), ["north", "NA", None]),
        (["007", "010"], pa.string(), ["007", "010"]),
        (["9223372036854775807", "-1"], pa.int64(), [2**63 - 1, -1]),
        (["", "", ""], pa.float64(), [None, None, None]),
        (['"a,b"', '"say ""hi"""', "é"], pa.string(), ["a,b", 'say "hi"', "é"]),
        (['"two\nlines"', "b"], pa.string(), ["two\nlines", "b"]),
    ],
)
def test_text_becomes_the_narrowest_type_that_holds_all_of_it(values, type_, becomes, read, file):
    rows = read(file(column(*values))).rows
    assert rows.schema.field("x").type == type_
    assert rows["x"].to_pylist() == becomes


def test_an_empty_column_is_told(read, file):
    assert "'x' has no values at all" in read(file(column("", ""))).notes


def test_a_column_can_be_told_to_stay_text(read, file):
    assert read(file(column("1", "2", "n3")), text=("x",)).rows["x"].to_pylist() == ["1", "2", "n3"]


def test_names_of_missing_values_can_be_added(read, file):
    assert read(file(column("1", "?", "-")), null_values=("?", "-")).rows["x"].to_pylist() == [1, None, None]


def test_decimal_commas_are_read_where_they_are_told(read, file):
    path = file("time;x\n2024-01-01;1,5\n2024-01-02;-2\n")
    assert read(path, decimal=",").rows["x"].to_pylist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("values", "said", "becomes"),
    [
        (["1,234", "-1,234,567", "12"], {"thousands": ","}, [1234, -1_234_567, 12]),
        (["1,234.5", "NA", "0.5"], {"thousands": ","}, [1234.5, None, 0.5]),
        (["1.234,5", "2"], {"thousands": ".", "decimal": ","}, [1234.5, 2.0]),
        (["1 234,5", "2"], {"thousands": " ", "decimal": ","}, [1234.5, 2.0]),
    ],
)
def test_grouped_digits_are_read_where_they_are_told(values, said, becomes, read, file):
    rows = "".join(f"{time};{value}\n" for time, value in zip(TIMES, values, strict=False))
    assert read(file(f"time;x\n{rows}"), **said).rows["x"].to_pylist() == becomes


def test_marks_between_other_than_three_digits_make_no_number(read, file):
    with pytest.raises(UserError, match="text among numbers: '1,23'"):
        read(file("time;x\n2024-01-01;1,234\n2024-01-02;1,23\n"), thousands=",")


def test_infinities_become_missing_where_that_is_told(read, file):
    assert read(file(column("1", "inf", "-Infinity")), infinities="null").rows["x"].to_pylist() == [
        1.0,
        None,
        None,
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter, read, file):
    text = 'time,x,y\n2024-01-01,1,"a;b|c"\n2024-01-02,2,d\n'.replace(",", delimiter)
    rows = read(file(text)).rows
    assert (rows.column_names, rows.num_rows) == (["time", "x", "y"], 2)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress])
def test_packed_files_are_unpacked_whatever_they_are_called(pack, read, file):
    assert read(file(pack(column("1", "2").encode()), "rows.csv.gz")).rows["x"].to_pylist() == [1, 2]


@pytest.mark.parametrize(("encoding", "content"), [("latin-1", "é"), ("utf-16", "é"), ("utf-8", "é")])
def test_other_encodings_are_read_where_they_are_told(encoding, content, read, file):
    text = column(content, "b").encode(encoding)
    assert read(file(text), encoding=encoding).rows["x"].to_pylist() == [content, "b"]


def test_blank_lines_are_no_rows(read, file):
    assert read(file("\n\n" + column("1", "2").replace("\n", "\n\n"))).rows["x"].to_pylist() == [1, 2]


def test_a_byte_order_mark_is_no_part_of_the_first_name(read, file):
    assert read(file(b"\xef\xbb\xbf" + column("1").encode())).rows.column_names == ["time", "x"]


def test_files_of_whole_and_broken_numbers_get_one_type_up_front(read, file):
    first, second = file(column("1", "2"), "a.csv"), file(HEAD + "2024-02-01,\n2024-02-02,2.5\n", "b.csv")
    rows = read([second, first]).rows
    assert rows.schema.field("x").type == pa.float64()
    assert rows["x"].to_pylist() == [1.0, 2.0, None, 2.5]


def test_a_table_that_is_there_decides_the_types(read, file):
    there = pa.schema([pa.field("time", pa.timestamp("us", "UTC"), False), pa.field("x", pa.float32())])
    assert read(file(column("1", "2")), existing=there).rows.schema.equals(there)


@pytest.mark.parametrize(
    ("type_", "becomes"),
    [
        (pa.int8(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.float16(), pa.float32()),
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.date64(), pa.date32()),
        (pa.null(), pa.float64()),
        (pa.list_(pa.field("element", pa.int64())), pa.list_(pa.field("element", pa.int64()))),
    ],
)
def test_types_of_parquet_become_those_that_every_table_holds(type_, becomes, read, tmp_path):
    rows = pa.table({"time": [datetime(2024, 1, 1, tzinfo=UTC)], "x": pa.nulls(1, type_)})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet", time="time").rows.schema.field("x").type == becomes


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8).map(str.strip)
WORDS = TEXT.filter(
    lambda it: it and it[0] in string.ascii_letters and it.lower() not in ("nan", "inf", "infinity")
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(
        st.tuples(st.none() | st.floats(allow_nan=False, allow_infinity=False), st.none() | WORDS),
        min_size=2,
        max_size=20,
    ),
    delimiter=st.sampled_from(",;\t|"),
    piece=st.integers(1, 400),
)
def test_what_is_written_as_csv_comes_back_value_for_value(
    numbers, delimiter, piece, read, tmp_path, monkeypatch
):
    """In pieces of any size; text keeps its quotes, its line ends and its delimiters."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = pa.table(
        {
            "time": pa.array(
                [start + timedelta(hours=it) for it in range(len(numbers))], pa.timestamp("us", "UTC")
            ),
            "number": pa.array([it for it, _ in numbers], pa.float64()),
            "word": pa.array([it for _, it in numbers], pa.string()),
        }
    )
    csv.write_csv(rows, tmp_path / "rows.csv", csv.WriteOptions(delimiter=delimiter))
    with monkeypatch.context() as patch:
        patch.setattr(body, "PIECE_BYTES", piece)
        found = read(tmp_path / "rows.csv", time="time", delimiter=delimiter, text=("word",))
    numbers_back = found.rows["number"].cast(pa.float64()).to_pylist()
    assert all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=0))
        for a, b in zip(numbers_back, rows["number"].to_pylist(), strict=True)
    )
    assert found.rows["word"].cast(pa.string()).to_pylist() == rows["word"].to_pylist()
    assert found.rows["time"].to_pylist() == rows["time"].to_pylist()
