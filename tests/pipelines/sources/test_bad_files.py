"""A file that cannot serve is one message, before a row is written: what, where, the remedy."""

import gzip
import io
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from storage.errors import UserError

GOOD = "time,x\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n2024-01-04,4\n"
PACKED = gzip.compress(
    "".join(["time,x\n", *(f"2024-01-01T00:00:00.{n:06d},{n * 7919 % 1000}\n" for n in range(9999))]).encode()
)


@dataclass(frozen=True)
class Bad:
    """Content, what is said of it, and words of the message."""

    content: str | bytes
    says: tuple[str, ...]
    said: dict[str, Any] = field(default_factory=dict)
    name: str = "rows.csv"


def packed_parquet(*columns: tuple[str, pa.Array]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(
        pa.Table.from_arrays([it for _, it in columns], names=[it for it, _ in columns]), sink
    )
    return sink.getvalue()


NUMBERS = pa.array([1.0, 2.0])
MOMENTS = pa.array(["2024-01-01", "2024-01-02"]).cast(pa.timestamp("us"))

BAD = {
    "empty": Bad("", ("is empty", "0 bytes")),
    "blank": Bad("\n\n", ("has no text",)),
    "header-only": Bad("time,x\n", ("has columns but no rows",)),
    "no-header": Bad("1,2\n3,4\n", ("no header", "1, 2")),
    "a-column-twice": Bad("time,x,x\n2024-01-01,1,2\n", ("'x'", "2 times", "rename")),
    "a-column-without-a-name": Bad(",time,x\n0,2024-01-01,1\n", ("column 1", "no name", "--columns time,x")),
    "one-column": Bad("time\n2024-01-01\n", ("one column only", "--delimiter")),
    "too-few-values": Bad(
        GOOD.replace("2024-01-02,2", "2024-01-02"), ("line 3 has 1 values", "header has 2")
    ),
    "too-many-values": Bad(GOOD.replace(",2\n", ",2,9\n"), ("line 3 has 3 values",)),
    "last-row-cut": Bad(GOOD[:-4], ("line 5", "cut short", "fetch it again")),
    "quote-not-closed": Bad(
        'time,x\n2024-01-01,a\n2024-01-02,"b\n2024-01-03,c\n', ("line 3", "quote", "not closed")
    ),
    "quote-not-closed-in-a-row": Bad('time,x,y\n2024-01-01,"1,2\n2024-01-02,3,4\n', ("line 2", "quote")),
    "gz-cut-short": Bad(PACKED[:-2000], ("cut short", "compressed"), name="rows.csv.gz"),
    "gz-without-its-end": Bad(PACKED[:-4], ("cut short",), name="rows.csv.gz"),
    "latin-1": Bad("time,x\n2024-01-01,é\n".encode("latin-1"), ("no text in utf-8", "--encoding latin-1")),
    "utf-16": Bad(GOOD.encode("utf-16"), ("zero bytes", "--encoding utf-16")),
    "no-such-encoding": Bad(GOOD, ("--encoding elvish",), {"encoding": "elvish"}),
    "parquet-cut-short": Bad(
        packed_parquet(("time", MOMENTS), ("x", NUMBERS))[:-20], ("cut short", "Parquet"), name="rows.parquet"
    ),
    "not-parquet": Bad("hello", ("cannot be read as Parquet",), name="rows.parquet"),
    "another-kind": Bad("x", ("rows.xlsx", "only .csv"), name="rows.xlsx"),
    "text-among-numbers": Bad(
        GOOD.replace(",3", ",broken"),
        ("'x'", "'broken'", "line 4", "1 of 4 values", "--null-values broken", "--text x"),
    ),
    "decimal-comma": Bad(
        "time;x\n2024-01-01;1,5\n2024-01-02;2\n", ("decimal comma", "'1,5'", "line 2", "--decimal ,")
    ),
    "a-point-where-commas-are-told": Bad(
        "time;x\n2024-01-01;1,5\n2024-01-02;2.5\n", ("'2.5'", "line 3"), {"decimal": ","}
    ),
    "digits-in-groups": Bad(
        'time,x\n2024-01-01,900\n2024-01-02,"1,234.50"\n',
        ("digits are in groups", "'1,234.50'", "line 3", "--thousands ','"),
    ),
    "digits-in-groups-or-decimal-commas": Bad(
        'time,x\n2024-01-01,"1,234"\n', ("'1,234'", "--thousands ',' (or,", "--decimal ',')")
    ),
    "digits-in-groups-of-the-continent": Bad(
        "time;x\n2024-01-01;1.234,50\n", ("'1.234,50'", "--thousands '.' --decimal ','")
    ),
    "digits-in-groups-by-blanks": Bad("time;x\n2024-01-01;1 234,50\n", ("--thousands ' ' --decimal ','",)),
    "a-mark-that-groups-nothing": Bad(GOOD, ("--thousands '.'", "--decimal ."), {"thousands": "."}),
    "infinity": Bad(GOOD.replace(",3", ",inf"), ("'x'", "1 infinities", "line 4", "--infinities null")),
    "infinity-in-parquet": Bad(
        packed_parquet(("time", MOMENTS), ("x", pa.array([1.0, float("-inf")]))),
        ("'x'", "row 2", "--infinities null"),
        name="rows.parquet",
    ),
    "no-time": Bad("name,x\na,1\n", ("no column", "--time", "--time-format", "name, x")),
    "several-times": Bad("a,b,x\n2024-01-01,2024-01-01,1\n", ("several columns", "a, b", "--time a")),
    "dates-with-points": Bad(
        GOOD.replace("2024-01-0", "31.12.202"),
        ("'time'", "'31.12.2021'", "line 2", "--time time --time-format '%d.%m.%Y'"),
    ),
    "dates-that-could-be-of-two-months": Bad(
        "time,x\n01/02/2024 10:00,1\n",
        ("--time-format '%d/%m/%Y %H:%M' or --time-format '%m/%d/%Y %H:%M'",),
        {"time": "time"},
    ),
    "dates-of-digits": Bad("day,x\n20240131,1\n20240201,2\n", ("'day'", "--time day --time-format '%Y%m%d'")),
    "a-day-that-is-not-in-its-month": Bad(
        "time,x\n30.01.2024,1\n31.02.2024,2\n",
        ("line 3", "'31.02.2024'", "%d.%m.%Y"),
        {"time": "time", "time_format": "%d.%m.%Y"},
    ),
    "epoch-without-a-unit": Bad("t,x\n1704110400,1\n", ("t", "--time-unit s")),
    "a-named-epoch-without-a-unit": Bad("t,x\n1704110400,1\n", ("'t'", "--time-unit"), {"time": "t"}),
    "another-unit": Bad(
        "t,x\n1704110400000,1\n", ("1900 and 2200", "line 2"), {"time": "t", "time_unit": "s"}
    ),
    "a-unit-for-text": Bad(GOOD, ("holds no numbers", "--time-unit"), {"time": "time", "time_unit": "s"}),
    "no-such-time": Bad(GOOD, ("'when'", "time, x"), {"time": "when"}),
    "no-such-entity": Bad(GOOD, ("'id'", "--entity", "time, x"), {"entity": "id"}),
    "the-time-as-entity": Bad(GOOD, ("same column", "'time'"), {"time": "time", "entity": "time"}),
    "broken-numbers-as-entity": Bad(
        packed_parquet(("time", MOMENTS), ("x", NUMBERS)),
        ("'x'", "double", "text or whole"),
        {"entity": "x"},
        "rows.parquet",
    ),
    "no-such-text-column": Bad(GOOD, ("--text y", "time, x"), {"text": ("y",)}),
    "no-such-column": Bad(GOOD, ("'y'", "time, x"), {"columns": ("time", "y")}),
    "zones-mixed": Bad(
        "time,x\n2024-01-01T00:00Z,1\n2024-01-02 00:00,2\n",
        ("with and without a zone", "line 2 has '2024-01-01T00:00Z'", "line 3 has '2024-01-02 00:00'"),
    ),
    "an-odd-time": Bad(
        GOOD.replace("2024-01-03", "03.01.2024"),
        ("line 4", "'03.01.2024'", "--time-format"),
        {"time": "time"},
    ),
    "a-time-of-another-format": Bad(
        GOOD, ("line 2", "2024-01-01", "%d/%m/%Y"), {"time": "time", "time_format": "%d/%m/%Y"}
    ),
    "a-missing-time": Bad(GOOD.replace("2024-01-03", ""), ("line 4", "has no time"), {"time": "time"}),
    "a-missing-entity": Bad(
        "id,time,x\na,2024-01-01,1\n,2024-01-02,2\n", ("line 3", "'id'"), {"entity": "id"}
    ),
    "no-such-zone": Bad(GOOD, ("Europe/Atlantis", "Europe/Paris"), {"timezone": "Europe/Atlantis"}),
    "an-hour-that-never-was": Bad(
        "time,x\n2024-03-31 02:30,1\n", ("line 2", "no clock in Europe/Paris"), {"timezone": "Europe/Paris"}
    ),
    "times-twice-without-an-entity": Bad(
        "time,id,n,x\n"
        + "".join(f"2024-01-0{d},{i},{n},{d}\n" for d in (1, 2, 3) for n, i in enumerate("ab")),
        ("same time", "line 2 and", "line 3", "--entity id", "others that could: n"),
    ),
    "times-twice-but-for-an-hour-that-came-twice": Bad(
        "time,id,x\n"
        + "".join(f"2024-01-01T00:{n:02d},{i},1\n" for n in [*range(60), 59] for i in "abcdefgh"),
        ("same time", "--entity id"),
    ),
    "times-twice-and-nothing-that-tells-rows-apart": Bad(
        "time,x,y\n2024-01-01,1.5,2\n2024-01-01,1.5,2\n", ("--entity (x, y)", "--duplicates first")
    ),
    "a-line-for-each-series": Bad(
        "V1," + ",".join(f"V{n}" for n in range(2, 40)) + "\nH1" + ",1" * 38 + "\n",
        ("no column", "--wide --every 1h", "V20 and 19 more"),
    ),
    "times-twice": Bad(
        "id,time,x\na,2024-01-01,1\na,2024-01-01,2\n",
        ("'a'", "2024-01-01", "line 2", "line 3", "--duplicates"),
        {"entity": "id"},
    ),
    "wide-without-a-step": Bad("a,b,c\nx,1,2\n", ("--every 1h",), {"wide": True}),
    "a-step-that-is-none": Bad("a,b,c\nx,1,2\n", ("--every often",), {"wide": True, "every": "often"}),
    "a-step-without-wide": Bad(GOOD, ("--wide",), {"every": "1h"}),
    "wide-with-text": Bad("a,b,c\nx,1,oops\n", ("line 2", "'oops'", "'c'"), {"wide": True, "every": "1h"}),
    "wide-line-without-values": Bad(
        "a,b,c\nx,1,2\ny,,\n", ("line 3", "no values"), {"wide": True, "every": "1h"}
    ),
    "wide-line-without-a-name": Bad(
        "a,b,c\nx,1,2\n,1,\n", ("line 3", "no name"), {"wide": True, "every": "1h"}
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_serve_is_told_with_the_place_and_the_remedy(name, read, file):
    bad = BAD[name]
    with pytest.raises(UserError) as told:
        read(file(bad.content, bad.name), **bad.said)
    message = str(told.value)
    assert [word for word in bad.says if word not in message] == [], message
    assert "\n" not in message, message


PAIRS = {
    "other-columns": ("time,y\n2024-02-01,1\n", ("lacks x", "--columns time"), {}),
    "text-there": ("time,x\n2024-02-01,oops\n", ("'oops'", "b.csv line 2", "1 of 5 values"), {}),
    "one-with-zones": ("time,x\n2024-02-01T00:00Z,1\n", ("zone", "a.csv", "b.csv"), {}),
    "the-same-times": ("time,x\n2024-01-02,9\n", ("a.csv and", "b.csv", "--entity", "--together"), {}),
    "between-each-other": ("time,x\n2024-01-02T12:00,9\n", ("between each other's", "--together"), {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_files_that_do_not_go_together_are_told(name, read, file):
    content, says, said = PAIRS[name]
    with pytest.raises(UserError) as told:
        read([file(GOOD, "a.csv"), file(content, "b.csv")], **said)
    assert [word for word in says if word not in str(told.value)] == [], str(told.value)


def test_a_column_of_another_type_in_another_file_is_told(read, file, tmp_path):
    parquet.write_table(
        pa.table({"time": MOMENTS.cast(pa.timestamp("us")), "x": ["a", "b"]}), tmp_path / "b.parquet"
    )
    with pytest.raises(UserError, match=r"'x' is int64 in .*a.csv, string in .*b.parquet"):
        read([file(GOOD.replace("2024", "2023"), "a.csv"), tmp_path / "b.parquet"])


def test_rows_that_do_not_fit_the_table_that_is_there_are_told(read, file):
    there = pa.schema(
        [pa.field("time", pa.timestamp("us", "UTC")), pa.field("x", pa.bool_()), pa.field("y", pa.int64())]
    )
    with pytest.raises(UserError, match=r"'x' is bool there and int64 in the files.*"):
        read(file(GOOD), existing=there)
