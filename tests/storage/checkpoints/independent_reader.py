"""A reader of the repository, written from `docs/checkpoint-format.md` alone, with nothing of this project.

It checks hashes but hardly any limits: not for repositories that strangers may write to.
"""

import base64
import io
import json
import math
import struct
from pathlib import Path

from blake3 import blake3

from .independent_codecs import NUMBERS, decode


class Reader:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.settings = self.json("repository.json")
        assert self.settings["format"] <= 2, "use a newer version"

    def json(self, key):
        value = json.loads(data := (self.folder / key).read_bytes())
        assert canonical(value) == data
        return value

    def hash(self, data):
        return blake3(data).hexdigest()

    def chunk_id(self, dtype, raw):
        return self.hash(b"carousel chunk 1\0" + dtype.encode() + b"\0" + raw)

    def manifest(self, key):
        return self.json(key)

    def stored(self, data, chunk_id, codec):
        return data

    def commits(self, run):
        head = self.json(f"runs/{run}/head")
        pages = [self.json(f"runs/{run}/pages/{name}") for name, _ in head["pages"]]
        return [commit for part in (*pages, head) for commit in part["commits"]]

    def restore(self, run, commit):
        """{tensor: (dtype, shape, bytes)} and the meta, checked against the commit's id."""
        manifest = self.manifest(f"runs/{run}/manifests/{commit['manifest'][0]}")
        tensors, content, chunks = {}, {}, self.chunks(manifest)
        for name, it in manifest["tensors"].items():
            sizes = list(cut(it["dtype"], it["shape"], it.get("block_rows")))
            inline = io.BytesIO(base64.b64decode(it.get("inline", "")))
            parts = [inline.read(n) for n in sizes] if "inline" in it else [chunks[n] for n in it["chunks"]]
            assert [len(part) for part in parts] == sizes
            assert not inline.read()
            tensors[name] = it["dtype"], tuple(it["shape"]), b"".join(parts)
            content[name] = [it["dtype"], it["shape"], [self.chunk_id(it["dtype"], part) for part in parts]]
        meta = self.hash(canonical(manifest["meta"]))
        identity = canonical(["carousel commit 1", manifest["step"], content, meta])
        assert self.hash(identity)[:32] == commit["id"]
        return tensors, manifest["meta"]

    def chunks(self, manifest):
        """Raw bytes of all chunks. A base has dtype and size of what rests on it, and stands before it."""
        entries, kinds, raw = manifest["chunks"], {}, []
        for it in manifest["tensors"].values():
            sizes = cut(it["dtype"], it["shape"], it.get("block_rows"))
            kinds |= {n: (it["dtype"], size) for n, size in zip(it.get("chunks", ()), sizes, strict=False)}
        for n in reversed(range(len(entries))):
            kinds |= dict.fromkeys(entries[n][5] if len(entries[n]) > 5 else (), kinds[n])
        for n, (chunk_id, pack, offset, length, codec, *rest) in enumerate(entries):
            data = (self.folder / "packs" / manifest["packs"][pack][0]).read_bytes()[offset : offset + length]
            bases, scalars = rest or ((), ())
            scalars = [struct.unpack(">d", bytes.fromhex(digits))[0] for digits in scalars]
            data, bases = self.stored(data, chunk_id, codec), [raw[base] for base in bases]
            raw.append(decode(codec, data, *kinds[n], bases, scalars))
            assert self.chunk_id(kinds[n][0], raw[n]) == chunk_id
        return raw


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def cut(dtype, shape, block_rows=None):
    """Bytes of each chunk of a tensor."""
    row = math.prod(shape[1:]) * NUMBERS[dtype][0] * (2 if dtype.startswith("complex") else 1)
    length = shape[0] if shape else 1
    if length * row:
        rows = max(1, 2**20 // row)
        for block in range(0, length, block_rows or length):
            end = min(length, block + (block_rows or length))
            for at in range(block, end, rows):
                yield from cut(dtype, shape[1:]) if row > 2**24 else [min(rows, end - at) * row]
