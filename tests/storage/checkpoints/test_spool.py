"""The spool gives back what it was given, or says that it is damaged; it is bounded, and private."""

import math
import resource
import stat
from dataclasses import replace

import numpy as np
import pytest

from storage.checkpoints import Damaged, Spool, Tensor
from storage.checkpoints.background.spool import SpoolFull, spool_folder
from storage.checkpoints.background.spool_file import HEADER_LIMIT, SpooledState

from .states import state


def spooled(step: int, **tensors: Tensor) -> SpooledState:
    return SpooledState(
        run="run",
        attempt="a1",
        parent="0" * 32,
        step=step,
        meta={"step": step, "name": "übung"},
        metrics={"loss": math.nan, "best": -math.inf, "rate": 0.1},
        tags=("one",),
        tensors=tensors or state(w=step),
    )


def test_every_dtype_and_shape_comes_back_to_the_bit(tmp_path):
    tensors = {
        "nan": Tensor("float32", (2,), b"\x01\x00\xa0\x7f\x00\x00\x00\x80"),  # a payload, and -0.0
        "bf": Tensor("bfloat16", (3,), b"abcdef"),
        "gates": Tensor.from_numpy(np.arange(24, dtype=np.int64).reshape(8, 3), block_rows=2),
        "none": Tensor("uint8", (0, 7), b""),
        "scalar": Tensor.from_numpy(np.array(3.5)),
    }
    spool = Spool(tmp_path, "run", 10**6)
    entry, dropped = spool.put(spooled(7, **tensors))
    got = spool.read(entry)
    assert (got.tensors, dropped) == (tensors, [])
    assert got.tensors["gates"].block_rows == 2
    assert math.isnan(got.metrics["loss"])
    assert (got.metrics["best"], got.metrics["rate"]) == (-math.inf, 0.1)
    assert (got.run, got.attempt, got.parent, got.step) == ("run", "a1", "0" * 32, 7)
    assert (got.meta, got.tags) == ({"step": 7, "name": "übung"}, ("one",))
    assert entry.size == entry.path.stat().st_size


def test_no_changed_byte_and_no_lost_end_goes_unnoticed(tmp_path):
    spool = Spool(tmp_path, "run", 10**6)
    entry, _ = spool.put(spooled(1))
    whole = entry.path.read_bytes()
    want = spooled(1)
    for at in [*range(0, 120), *range(120, len(whole), 61)]:
        entry.path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        try:
            got = spool.read(entry)
        except Damaged:
            continue
        assert (got.tensors, got.meta) == (want.tensors, want.meta), at  # it was padding
        del got  # a mapped file must not be cut short
    for size in [0, 10, 55, 56, 57, 300, len(whole) - 64, len(whole) - 1]:
        entry.path.write_bytes(whole[:size])
        with pytest.raises(Damaged):
            spool.read(entry)


def test_only_its_owner_may_read_it(tmp_path):
    spool = Spool(tmp_path / "spool", "run", 10**6)
    entry, _ = spool.put(spooled(1))
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700


def test_the_oldest_are_dropped_where_the_limit_is_reached(tmp_path):
    size = Spool(tmp_path / "one", "run", 10**6).put(spooled(10))[0].size
    spool = Spool(tmp_path, "run", 3 * size + 100)
    for step in (8, 9, 10):
        assert spool.put(spooled(step))[1] == []
    dropped = spool.put(spooled(11))[1]
    assert [entry.step for entry in dropped] == [8]
    assert [entry.step for entry in spool.entries()] == [9, 10, 11]
    assert sum(entry.path.stat().st_size for entry in spool.entries()) <= spool.limit_bytes
    with pytest.raises(SpoolFull, match="allow it more"):
        Spool(tmp_path, "run", size - 1).put(spooled(12))
    assert [entry.step for entry in spool.entries()] == [9, 10, 11]


def test_a_write_that_fails_half_way_leaves_nothing_behind(tmp_path):
    spool = Spool(tmp_path, "run", 10**6)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            spool.put(spooled(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(spool.folder.iterdir()) == []


def test_a_write_that_fails_pushes_nothing_out(tmp_path):
    """What is there may be all that an outage has left."""
    size = Spool(tmp_path / "other", "run", 10**6).put(spooled(1))[0].size
    spool = Spool(tmp_path, "run", size + 10)  # room for one
    older, _ = spool.put(spooled(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.put(spooled(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert spool.entries() == [older]
    assert spool.read(older).tensors == state(w=1)


def test_a_file_that_somebody_else_has_put_there_is_no_state(tmp_path):
    spool = Spool(tmp_path, "run", 10**6)
    spool.put(spooled(3))
    (spool.folder / "copy of mine.save").write_bytes(b"")
    assert [entry.step for entry in spool.entries()] == [3, -1]


def test_repositories_have_folders_of_their_own(tmp_path):
    places = [("http://a", "b", "c"), ("http://a", "bc", ""), ("http://a", "b", ""), ("aws", "b", "c")]
    assert len({spool_folder(tmp_path, *place) for place in places}) == 4


def test_meta_that_no_reader_would_accept_is_not_written(tmp_path):
    spool = Spool(tmp_path, "run", 10**9)
    older, _ = spool.put(spooled(1))
    large = replace(spooled(2), meta={"text": "x" * HEADER_LIMIT})
    with pytest.raises(SpoolFull, match="keep large things in tensors"):
        spool.put(large)
    assert spool.entries() == [older]
