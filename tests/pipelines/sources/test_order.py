"""Rows come out as windows need them: by series and time, each key once, whatever their order and number."""

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.sources import body

START = datetime(2024, 1, 1, tzinfo=UTC)


def lines(series: int, hours: int) -> list[str]:
    return [
        f"s{n},{START + timedelta(hours=h):%Y-%m-%dT%H:%MZ},{h}" for n in range(series) for h in range(hours)
    ]


def content(rows: list[str]) -> str:
    return "id,time,x\n" + "\n".join(rows) + "\n"


def by_time(rows: list[str]) -> list[str]:
    return sorted(rows, key=lambda it: it.split(",")[1])


def shuffled(rows: list[str]) -> list[str]:
    return random.Random(7).sample(rows, len(rows))


def keys(pieces) -> list[list[tuple[str, datetime]]]:
    return [list(zip(it.rows["id"].to_pylist(), it.rows["time"].to_pylist(), strict=True)) for it in pieces]


@pytest.mark.parametrize("arranged", [list, by_time, shuffled])
@pytest.mark.parametrize("piece_rows", [7, 50, 10_000])
def test_pieces_are_sorted_and_no_two_interleave_a_series(arranged, piece_rows, read, file, monkeypatch):
    rows = lines(3, 40)
    monkeypatch.setattr(body, "PIECE_BYTES", piece_rows * 22)
    found = read(file(content(arranged(rows))), entity="id")
    ours = keys(found.pieces)
    assert (len(ours) > 1) == (piece_rows < 120)
    assert all(it == sorted(it) for it in ours)
    assert sorted(key for it in ours for key in it) == sorted(
        (f"s{n}", START + timedelta(hours=h)) for n in range(3) for h in range(40)
    )
    ranges: dict[str, list[tuple[datetime, datetime]]] = {}
    for piece in ours:
        for name in {key[0] for key in piece}:
            times = [key[1] for key in piece if key[0] == name]
            ranges.setdefault(name, []).append((min(times), max(times)))
    for held in ranges.values():
        held.sort()
        assert all(before[1] < after[0] for before, after in itertools.pairwise(held))


def test_a_file_in_no_order_is_told_to_be_sorted_on_disk(read, file, monkeypatch):
    monkeypatch.setattr(body, "PIECE_BYTES", 500)
    assert "sorted on disk" in read(file(content(shuffled(lines(3, 40)))), entity="id").notes
    assert "sorted on disk" not in read(file(content(by_time(lines(3, 40)))), entity="id").notes


@pytest.mark.parametrize("piece_bytes", [300, 1 << 20])
def test_pieces_name_themselves_alike_each_time_and_apart_from_each_other(
    piece_bytes, read, file, monkeypatch
):
    monkeypatch.setattr(body, "PIECE_BYTES", piece_bytes)
    path = file(content(shuffled(lines(3, 40))))
    first, again = ([it.transaction for it in read(path, entity="id").pieces] for _ in range(2))
    assert first == again
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    "said", [{"null_values": ("?",)}, {"timezone": "Europe/Paris"}, {"duplicates": "first"}]
)
def test_what_shapes_the_rows_is_part_of_their_name(said, read, file):
    path = file(content(lines(1, 3)))
    one, other = read(path, entity="id"), read(path, entity="id", **said)
    assert one.pieces[0].transaction != other.pieces[0].transaction


@pytest.mark.parametrize("said", [{"delimiter": ","}, {"time": "time"}, {"columns": ("x", "time", "id")}])
def test_saying_what_is_found_anyway_changes_no_name(said, read, file):
    path = file(content(lines(1, 3)))
    assert (
        read(path, entity="id").pieces[0].transaction == read(path, entity="id", **said).pieces[0].transaction
    )


@pytest.mark.parametrize(("keep", "value"), [("first", 0), ("last", 99)])
@pytest.mark.parametrize("piece_bytes", [60, 1 << 20])
def test_of_rows_with_the_same_key_the_one_that_is_asked_for_is_kept(
    keep, value, piece_bytes, read, file, monkeypatch
):
    monkeypatch.setattr(body, "PIECE_BYTES", piece_bytes)
    rows = lines(2, 10)
    found = read(file(content([*rows, rows[0].rpartition(",")[0] + ",99"])), entity="id", duplicates=keep)
    assert (found.rows.num_rows, "1 rows of" in found.notes) == (20, True)
    assert next(it["x"] for it in found.rows.to_pylist() if it["id"] == "s0" and it["time"] == START) == value


def test_files_that_share_a_series_are_sorted_together_where_that_is_told(read, file):
    odd, even = file(content(lines(2, 10)[::2]), "a.csv"), file(content(lines(2, 10)[1::2]), "b.csv")
    (ours,) = keys(read([odd, even], entity="id", together=True).pieces)
    assert ours == sorted(ours)
    assert len(ours) == 20


def test_a_file_twice_under_two_names_is_taken_once(read, file):
    one, other = file(content(lines(1, 3)), "a.csv"), file(content(lines(1, 3)), "b.csv")
    found = read([one, other], entity="id")
    assert (found.rows.num_rows, "is the same as" in found.notes) == (3, True)


def test_columns_can_be_chosen(read, file):
    assert read(file(content(lines(1, 3))), columns=("time", "x")).rows.column_names == ["time", "x"]
