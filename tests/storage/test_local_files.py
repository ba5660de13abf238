"""The files of this machine answer as a bucket does, and refuse to be written."""

import pytest

from storage.local_files import LocalFiles, ReadOnly
from storage.objects import NotFound, ObjectInfo, TooLong, Truncated
from storage.tables.errors import UnsupportedTable
from storage.tables.local import is_path, open_local


@pytest.fixture
def key(tmp_path):
    """A folder of three files, as the beginning of their keys."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "two").write_bytes(b"0123456789")
    (tmp_path / "a" / "one").write_bytes(b"1")
    (tmp_path / "ab").write_bytes(b"")
    return str(tmp_path).removeprefix("/")


def test_files_are_listed_by_what_their_paths_begin_with(key):
    files = LocalFiles()
    assert [(it.key, it.size) for it in files.list(f"{key}/a/")] == [
        (f"{key}/a/b/two", 10),
        (f"{key}/a/one", 1),
    ]
    assert [it.key for it in files.list(f"{key}/a")] == [f"{key}/a/b/two", f"{key}/a/one", f"{key}/ab"]
    assert list(files.list(f"{key}/none/")) == []


def test_parts_of_files_are_read_and_what_is_missing_is_told(key):
    files = LocalFiles()
    assert files.get_range(f"{key}/a/b/two", 3, 4) == b"3456"
    assert files.get(f"{key}/a/b/two", 10).data == b"0123456789"
    with pytest.raises(TooLong, match="10 bytes, not 9"):
        files.get(f"{key}/a/b/two", 9)
    assert list(files.get_ranges([(f"{key}/a/b/two", 0, 1), (f"{key}/a/one", 0, 1)])) == [b"0", b"1"]
    with pytest.raises(Truncated, match="holds 1 of the 4 bytes from 9 on"):
        files.get_range(f"{key}/a/b/two", 9, 4)
    for absent in (f"{key}/none", f"{key}/a", f"{key}/ab/none"):
        with pytest.raises(NotFound, match="there is no file /"):
            files.get(absent)
    info = files.head(f"{key}/a/one")
    assert isinstance(info, ObjectInfo)
    assert info.size == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda files, key: files.put(key, b"x"),
        lambda files, key: files.put_if_absent(key, b"x"),
        lambda files, key: files.put_if_match(key, b"x", "etag"),
        lambda files, key: files.delete(key),
        lambda files, key: files.create(),
    ],
)
def test_nothing_is_ever_written(key, write):
    with pytest.raises(ReadOnly, match="only read"):
        write(LocalFiles(), f"{key}/a/one")
    assert LocalFiles().get(f"{key}/a/one").data == b"1"


def test_a_local_table_takes_no_rows(tmp_path):
    import pyarrow as pa
    from deltalake import write_deltalake

    rows = pa.table({"x": [1, 2]})
    write_deltalake(tmp_path / "t", rows)
    table = open_local(tmp_path / "t")
    with pytest.raises(UnsupportedTable, match="only read"):
        table.append(rows, transaction="one")
    with pytest.raises(UnsupportedTable, match="only read"):
        table.landed("one")
    pinned = table.snapshot()
    assert pinned.table == str(tmp_path / "t")
    assert pinned.read(pinned.files[0], 0, ["x"]).column("x").to_pylist() == [1, 2]
    assert pinned.files[0].path.startswith(f"{tmp_path}/t/")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("./t", True), ("/a/t", True), (".", True), ("s3://b/t", False), ("space.name", False), ("t", False)],
)
def test_a_path_is_told_from_a_name_and_an_address(text, is_one):
    assert is_path(text) is is_one
