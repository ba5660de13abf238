"""Tables with a row per sequence: windows of documents, of frames and of recordings equal slices of them."""

import io

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from deltalake import write_deltalake
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lstm.windows import (
    Column,
    OrderSpec,
    Sequences,
    SplitSpec,
    UnnestedSnapshot,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
    open_windows,
)
from lstm.windows.errors import BadRecording, DuplicateRows, MissingColumn, WindowError, WrongColumnType
from lstm.windows.table.recordings import fetch_from
from lstm.windows.table.whole_recordings import what_lacks
from storage.objects import Bucket

from .memory_table import MemorySnapshot

ALL_TRAINING = SplitSpec(validation=0, test=0)
RATE = 8000


def refuse(address):
    raise ValueError(f"{address} is not to be fetched")


INT32S = pa.list_(pa.int32())
TOKENS = Sequences(column="tokens")


def documents(lengths, kind=INT32S):
    """Documents of so many tokens (None: a null cell), each token different from all others."""
    token = iter(range(10**9))
    cells = [None if n is None else [next(token) for _ in range(n)] for n in lengths]
    names = [f"d{number:03}" for number in range(len(lengths))]
    return pa.table({"id": names, "tokens": pa.array(cells, kind), "label": np.arange(len(lengths)) * 10.0})


def unnested(table, rows_of_group, sequences=TOKENS):
    groups = [table.slice(at, rows_of_group) for at in range(0, table.num_rows, rows_of_group)]
    return UnnestedSnapshot(MemorySnapshot([groups]), sequences, "id", refuse)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=st.lists(st.none() | st.integers(0, 30), min_size=1, max_size=12),
    group=st.integers(1, 5),
    context=st.integers(1, 6),
    stride=st.integers(1, 4),
    ranks=st.integers(1, 3),
    kind=st.sampled_from([INT32S, pa.large_list(pa.int64())]),
)
def test_windows_of_documents_are_their_slices_each_once(lengths, group, context, stride, ranks, kind):
    table = documents(lengths, kind)
    window = WindowSpec(context=context, horizon=1, stride=stride)
    slices = sorted(
        (number, start, tuple(cell[start : start + window.length]))
        for number, cell in enumerate(table["tokens"].to_pylist())
        for start in range(0, len(cell or ()) - window.length + 1, stride)
    )
    snapshot = unnested(table, group)
    if not slices:
        with pytest.raises(WindowError):
            make_plan(index_of(snapshot), window, ALL_TRAINING, OrderSpec(lanes=3))
        return
    plan = make_plan(index_of(snapshot), window, ALL_TRAINING, OrderSpec(lanes=3, pool=2))
    reader = WindowReader(snapshot, plan, [Column(name="tokens", kind="token"), "label"])
    seen = []
    for rank in range(ranks):
        with WindowStream(plan, reader, "train", seed=1, batch_size=7, rank=rank, ranks=ranks) as stream:
            for batch in stream:
                numbers = [int(plan.series[it][1:]) for it in batch.series]
                assert np.array_equal(batch.times, batch.starts[:, None] + np.arange(window.length))
                assert (batch.values[..., 0] == 10.0 * np.array(numbers)[:, None]).all()  # its sequence's
                tokens = map(tuple, batch.ids[..., 0].tolist())
                seen += zip(numbers, batch.starts.tolist(), tokens, strict=True)
    assert sorted(seen) == slices


def index_of(snapshot):
    return index_snapshot(snapshot, entity="id", time="tokens:position")


def test_frames_keep_their_width():
    frames = np.arange(2 * 6 * 4, dtype=np.float32).reshape(2, 6, 4)
    kind = pa.list_(pa.list_(pa.float32(), 4))
    table = pa.table({"id": ["a", "b"], "tokens": pa.array(frames.tolist(), kind)})
    sequences = Sequences(column="tokens")
    assert sequences.feature(table.schema) == Column(name="tokens", width=4)
    snapshot = unnested(table, 1)
    plan = make_plan(index_of(snapshot), WindowSpec(context=3, horizon=1), ALL_TRAINING, OrderSpec(lanes=2))
    reader = WindowReader(snapshot, plan, [sequences.feature(table.schema)])
    rows = reader.read(np.array([1, 7]), 4)
    assert np.array_equal(rows.values.reshape(2, 4, 4), frames[:, 1:5])


@pytest.mark.parametrize("rows", [None, (0, 0), (2, 9), (5, 14)])
def test_a_part_of_a_row_group_is_the_part_of_the_whole(rows):
    snapshot = unnested(documents([5, None, 0, 9]), 4)
    (file,) = snapshot.files
    columns = ["tokens:position", "label", "tokens", "id"]
    whole = snapshot.read(file, 0, columns)
    assert snapshot.row_groups(file) == (14,) == (whole.num_rows,)
    assert whole.schema == pa.schema([snapshot.schema.field(name) for name in columns])
    first, end = rows or (0, 14)
    assert snapshot.read(file, 0, columns, rows) == whole.slice(first, end - first)
    assert whole["id"].to_pylist() == ["d000"] * 5 + ["d003"] * 9


def test_an_index_of_sequences_is_no_index_of_rows():
    table = documents([5, 9])
    inner = MemorySnapshot([[table]])
    outer = UnnestedSnapshot(inner, TOKENS, "id", refuse)
    identities = {outer.column_identity(it) for it in ("id", "tokens", "tokens:position")}
    assert len(identities) == 3
    assert not identities & {inner.column_identity("id"), inner.column_identity("tokens")}


def test_two_sequences_of_one_name_are_refused():
    table = documents([5, 9]).set_column(0, "id", pa.array(["same", "same"]))
    with pytest.raises(DuplicateRows, match="holds 2 sequences that column 'id' calls 'same'"):
        index_of(unnested(table, 2))
    with pytest.raises(DuplicateRows, match="same"):
        make_plan(index_of(unnested(table, 1)), WindowSpec(context=2, horizon=1), ALL_TRAINING, OrderSpec())


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"column": "nothing"}, MissingColumn, "no column 'nothing'"),
        ({"column": "label"}, WrongColumnType, "sequences are lists"),
        (
            {"column": "label", "kind": "audio", "rate": 8000},
            WrongColumnType,
            "recordings are bytes, or text",
        ),
    ],
)
def test_a_column_without_sequences_is_told(wrong, error, told):
    with pytest.raises(error, match=told):
        unnested(documents([5]), 1, Sequences(**wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"column": ""},
        {"column": "a", "kind": "video"},
        {"column": "a", "kind": "audio"},
        {"column": "a", "rate": 8000},
        {"column": "a", "kind": "audio", "rate": 0},
        {"column": "a", "channels": 2},
    ],
)
def test_a_wrong_description_is_told(wrong):
    with pytest.raises(ValueError, match=r"Sequences\."):
        Sequences(**wrong)


def recording(samples, rate=RATE, kind="WAV", subtype="PCM_16"):
    written = io.BytesIO()
    soundfile.write(written, samples, rate, format=kind, subtype=subtype)
    return written.getvalue()


def noise(count, channels=1, seed=0):
    """Samples that 16 bits hold exactly."""
    whole = np.random.default_rng(seed).integers(-(2**15), 2**15, (count, channels))
    return (whole / 2**15).astype(np.float32)


WHOLE = {
    "WAV": recording(noise(20_000)),
    "RF64": recording(noise(20_000), kind="RF64"),
    "OGG": recording(noise(20_000), kind="OGG", subtype="VORBIS"),
}


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("channels", [1, 2])
def test_windows_of_recordings_are_their_samples_bit_for_bit(tmp_path, kind, channels):
    sounds = [noise(count, channels, seed=count) for count in (900, 0, 400, 70, 1300)]
    cells = [recording(it, kind=kind) if len(it) else None for it in sounds]
    folder = tmp_path / "table"
    write_deltalake(
        folder, pa.table({"clip": [f"c{n}" for n in range(5)], "sound": pa.array(cells, pa.binary())})
    )
    assert_windows_are(folder, sounds, channels)


def from_pipe(kind, data):
    """The same recording as programs write it to a pipe, where they cannot go back to tell its length."""
    piped, at = bytearray(data), data.find(b"data") + 4
    if kind == "FLAC":  # 36 bits of STREAMINFO: 0 is unknown
        piped[21] &= 0xF0
        piped[22:26] = bytes(4)
    else:
        piped[4:8] = piped[at : at + 4] = {"ffmpeg": b"\xff" * 4, "SoX": b"\x00\xf0\xff\x7f"}[kind]
    return bytes(piped)


@pytest.mark.parametrize(("kind", "by"), [("FLAC", "FLAC"), ("WAV", "ffmpeg"), ("WAV", "SoX")])
@pytest.mark.parametrize("channels", [1, 2])
def test_recordings_from_a_pipe_are_read_to_their_end(tmp_path, kind, by, channels):
    sounds = [noise(count, channels, seed=count) for count in (900, 400, 70_000)]
    cells = [from_pipe(by, recording(it, kind=kind)) for it in sounds]
    folder = tmp_path / "table"
    write_deltalake(folder, pa.table({"clip": ["c0", "c1", "c2"], "sound": pa.array(cells, pa.binary())}))
    assert_windows_are(folder, sounds, channels, stride=64)


@given(st.sampled_from(["WAV", "RF64", "OGG"]), st.integers(0, 2**20))
@example("WAV", 36)
@example("WAV", 42)
@example("WAV", 44)
@example("WAV", -1)
@example("RF64", -1)
@example("OGG", -1)
@settings(deadline=None, max_examples=40)
def test_a_cut_recording_never_passes_for_a_shorter_one(kind, cut):
    whole = WHOLE[kind]
    table = pa.table({"clip": ["a"], "sound": [whole[: cut % len(whole)]]})
    audio = Sequences(column="sound", kind="audio", rate=RATE)
    snapshot = UnnestedSnapshot(MemorySnapshot([[table]]), audio, "clip", refuse)
    with pytest.raises(BadRecording, match=r"row 0 of .*(cannot be decoded|promises|is cut)"):
        snapshot.row_groups(snapshot.files[0])
    with pytest.raises(BadRecording, match=r"row 0 of .*(cannot be decoded|promises|is cut)"):
        snapshot.read(snapshot.files[0], 0, ["sound"])


def test_what_was_not_cut_is_whole():
    for whole in WHOLE.values():
        assert what_lacks(whole) is None
        assert what_lacks(whole + b"a tag at the end") is None


def test_recordings_in_files_beside_the_table_are_found(tmp_path):
    sounds = [noise(count, seed=count) for count in (900, 400, 500)]
    (tmp_path / "table" / "sounds").mkdir(parents=True)
    for number, sound in enumerate(sounds):
        (tmp_path / "table" / "sounds" / f"{number}.wav").write_bytes(recording(sound))
    cells = [f"sounds/{n}.wav" for n in range(3)]
    write_deltalake(tmp_path / "table", pa.table({"clip": [f"c{n}" for n in range(3)], "sound": cells}))
    assert_windows_are(tmp_path / "table", sounds, 1)


def assert_windows_are(folder, sounds, channels, stride=16):
    windows = open_windows(
        str(folder),
        context=48,
        horizon=16,
        stride=stride,
        entity="clip",
        splits=ALL_TRAINING,
        sequences=Sequences(column="sound", kind="audio", rate=RATE, channels=channels),
    )
    found = {}
    with windows.stream(batch_size=16) as stream:
        for batch in stream:
            for entity, start, values in zip(
                stream.entities(batch), batch.starts.tolist(), batch.values, strict=True
            ):
                assert found.setdefault((entity, start), values.tobytes()) == values.tobytes()
    expected = {
        (f"c{number}", start): sound[start : start + 64].tobytes()
        for number, sound in enumerate(sounds)
        for start in range(0, len(sound) - 63, stride)
    }
    assert found == expected


def broken(what):
    return {
        "cut": recording(noise(50_000), kind="FLAC")[:60_000],
        "none": b"RIFF, they say",
        "rate": recording(noise(500), rate=RATE * 2),
        "channels": recording(noise(500, 2)),
    }[what]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("cut", "50000|cannot be decoded"),
        ("none", "cannot be decoded"),
        ("rate", "1 channels of 16000 samples per second, where 1 of 8000"),
        ("channels", "2 channels of 8000"),
    ],
)
def test_a_recording_that_cannot_serve_is_named(what, told):
    table = pa.table({"clip": ["a", "b"], "sound": [recording(noise(500)), broken(what)]})
    audio = Sequences(column="sound", kind="audio", rate=RATE)
    snapshot = UnnestedSnapshot(MemorySnapshot([[table]]), audio, "clip", refuse)
    with pytest.raises(BadRecording, match=rf"row 1 of .*{told}"):
        snapshot.read(snapshot.files[0], 0, ["sound"])


@pytest.mark.parametrize(
    "address", ["/etc/passwd", "../secret.wav", "file:///etc/passwd", "s3://lake", "http://a/b"]
)
def test_a_table_in_a_bucket_reads_no_file_of_this_machine(address, s3_server):
    with pytest.raises(ValueError, match="recordings are found at s3://bucket/key"):
        fetch_from(s3_server.access, None)(address)


def test_recordings_in_the_bucket_are_fetched_and_counted(s3_server):
    bucket = Bucket("sounds", s3_server.access)
    bucket.create()
    sound, data = noise(700), recording(noise(700))
    bucket.put("a.wav", data)
    table = pa.table({"clip": ["a"], "sound": ["s3://sounds/a.wav"]})
    audio = Sequences(column="sound", kind="audio", rate=RATE)
    snapshot = UnnestedSnapshot(MemorySnapshot([[table]]), audio, "clip", fetch_from(s3_server.access, None))
    before = snapshot.traffic.fetched
    read = snapshot.read(snapshot.files[0], 0, ["sound"])
    assert np.array_equal(read["sound"].to_numpy(), sound[:, 0])
    assert snapshot.traffic.fetched - before >= len(data)
    bucket.delete("a.wav")
    with pytest.raises(BadRecording, match=r"s3://sounds/a\.wav"):
        snapshot.read(snapshot.files[0], 0, ["sound"])


def test_without_a_name_for_each_sequence_it_is_told(tmp_path):
    write_deltalake(tmp_path / "t", documents([5, 9]))
    for wrong in ({}, {"entity": ""}, {"entity": "id", "time": "label"}):
        with pytest.raises(WindowError, match="entity= must name the column"):
            open_windows(str(tmp_path / "t"), context=2, horizon=1, sequences=TOKENS, **wrong)


def test_by_default_whole_documents_are_held_out(tmp_path):
    write_deltalake(tmp_path / "t", documents([20] * 60))
    windows = open_windows(str(tmp_path / "t"), context=4, horizon=1, entity="id", sequences=TOKENS)
    by_split = {split: windows.plan.windows_by_series(split) > 0 for split in ("train", "validation", "test")}
    assert all(it.any() for it in by_split.values())
    assert (sum(it.astype(int) for it in by_split.values()) == 1).all()
    with windows.stream() as stream:
        assert next(iter(stream)).ids.dtype == np.int32
