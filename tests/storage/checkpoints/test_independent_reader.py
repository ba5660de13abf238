"""A reader written from `docs/checkpoint-format.md` alone restores what was written: the page is enough."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from storage.checkpoints import OuterKey, Repository, RunWriter, Tensor
from storage.checkpoints.codecs import CODECS, fits

from . import write_format_1, write_format_2
from .adam import states
from .fake_store import FakeStore
from .file_store import FileStore
from .fixed_bytes import bits
from .independent_codecs import NUMBERS, decode
from .independent_decryption import EncryptedReader
from .independent_reader import Reader
from .write_golden import GOLDEN, SCALARS, chunk

HEX, PASSPHRASE = "ab" * 32, "correct horse battery staple"


def plain(tensors: dict[str, Tensor]) -> dict[str, tuple]:
    return {name: (it.dtype, it.shape, bytes(it.data)) for name, it in tensors.items()}


def bfloat16(tensor: Tensor) -> Tensor:
    halves = np.frombuffer(tensor.data, "<u4") >> 16
    return Tensor("bfloat16", tensor.shape, halves.astype("<u2").tobytes())


def every_dtype() -> dict[str, Tensor]:
    """Tensors of any bits, and of about 3 MiB in gate blocks and out of them, none, and one number."""
    tensors = {
        dtype: Tensor(dtype, (50, 16), bits(50 * 16 * 16, 3)[: 50 * 16 * size(dtype)]) for dtype in NUMBERS
    }
    return tensors | {
        "large/rows": Tensor("float32", (3000, 256), bits(3000 * 1024, 1)),
        "large/blocks": Tensor("float16", (4 * 1300, 300), bits(5200 * 600, 2), block_rows=1300),
        "large/long row": Tensor("uint8", (1, 17, 2**20), bytes(17 * 2**20)),
        "empty": Tensor("float64", (3, 0), b""),
        "a number": Tensor("int64", (), bits(8, 4)),
    }


def size(dtype: str) -> int:
    return NUMBERS[dtype][0] * (2 if dtype.startswith("complex") else 1)


def written(folder: Path, key: OuterKey | None = None) -> Repository:
    """A repository in `folder`: Adam in two dtypes and, in the clear, all dtypes twice."""
    store = FakeStore()
    repository = Repository.create(store, "", key=key, pause=lambda seconds: None)
    writer = RunWriter.create(repository, "run", "a1")
    for step, (tensors, hints) in enumerate(states(6, rows=200)):
        if step != 3:
            writer.save(tensors, {"step": step, "text": "a\n\x7f\u00e9\u2028"}, step=step, hints=hints)
    narrow = RunWriter.create(repository, "narrow", "a1")
    for step, (tensors, hints) in enumerate(states(3, rows=200)):
        state = {name: bfloat16(tensor) for name, tensor in tensors.items()}
        narrow.save(state, {"rate": 1e-7}, step=step, metrics={"loss": float("nan")}, hints=hints)
    if key is None:
        odd = RunWriter.create(repository, "odd", "a1")
        odd.save(before := every_dtype(), {}, step=0)
        odd.save(before | {"float64": Tensor("float64", (50, 16), bits(50 * 128, 5))}, {}, step=1)
    for path, data in store.server.objects.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return Repository.open(FileStore(folder), "", key=key)


def restored_alike(reader: Reader, repository: Repository) -> int:
    """Compare every undamaged commit; how many there were."""
    count = 0
    for run in repository.runs():
        for commit in reader.commits(run):
            if not commit["damaged"]:
                tensors, meta = reader.restore(run, commit)
                expected = repository.restore(run, commit["id"])
                assert tensors == plain(expected.tensors)
                assert meta == dict(expected.meta)
                count += 1
    return count


@pytest.mark.parametrize(("folder", "commits"), [(write_format_1.FOLDER, 5), (write_format_2.FOLDER, 6)])
def test_the_fixtures_are_restored_bit_for_bit(folder, commits):
    assert restored_alike(Reader(folder), Repository.open(FileStore(folder), "")) == commits


def test_a_fresh_repository_is_restored_bit_for_bit(tmp_path):
    repository = written(tmp_path)
    assert restored_alike(Reader(tmp_path), repository) == 10


@pytest.mark.parametrize(
    ("secret", "outer"), [(HEX, bytes.fromhex(HEX)), (PASSPHRASE, PASSPHRASE)], ids=["key", "passphrase"]
)
def test_an_encrypted_repository_is_restored_bit_for_bit(tmp_path, secret, outer):
    repository = written(tmp_path, OuterKey.of(secret))
    assert restored_alike(EncryptedReader(tmp_path, outer), repository) == 8


@pytest.mark.parametrize("codec", json.loads(GOLDEN.read_text()))
def test_golden_vectors_are_decoded(codec):
    for dtype, stored in json.loads(GOLDEN.read_text())[codec].items():
        raw, bases = chunk(dtype, codec)
        assert decode(codec, base64.b64decode(stored), dtype, len(raw), bases, SCALARS) == raw


@pytest.mark.parametrize("numbers", [4095, 10_001])  # one group; several, the last one filled up
@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_codec_is_decoded_in_every_dtype_it_holds(dtype, numbers):
    count = numbers + numbers % 2 * dtype.startswith("complex")
    bases = tuple(bits(count * NUMBERS[dtype][0], seed) for seed in (1, 2, 3))
    raw = bits(count * NUMBERS[dtype][0], 9)
    for name, codec in CODECS.items():
        if fits(name, dtype):
            used, scalars = bases[: codec.bases], SCALARS[: codec.scalars]
            stored = bytes(codec.encode(raw, dtype, used, scalars))
            assert decode(name, stored, dtype, len(raw), used, scalars) == raw, name


def test_a_flipped_bit_is_noticed(tmp_path):
    shutil.copytree(write_format_2.FOLDER, tmp_path, dirs_exist_ok=True)
    reader = Reader(tmp_path)
    (commit,) = reader.commits("child")
    (pack,) = {reader.folder / "packs" / name for name, _ in reader.manifest(manifest_of(commit))["packs"]}
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    with pytest.raises(AssertionError):
        reader.restore("child", commit)


def manifest_of(commit: dict) -> str:
    return f"runs/child/manifests/{commit['manifest'][0]}"
