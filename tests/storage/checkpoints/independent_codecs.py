"""The codecs, for the independent reader: written from `docs/checkpoint-format.md` alone."""

import io
import struct

import numpy as np
import zstandard

# Of the numbers a dtype is made of: bytes and, of floats, bits of the exponent.
NUMBERS = {f"{sign}int{8 * w}": (w, 0) for sign in ("", "u") for w in (1, 2, 4, 8)} | {"bool": (1, 0)}
NUMBERS |= {"float64": (8, 11), "float32": (4, 8), "float16": (2, 5), "bfloat16": (2, 8)}
NUMBERS |= {"complex128": (8, 11), "complex64": (4, 8), "float8_e4m3fn": (1, 4), "float8_e5m2": (1, 5)}


def decode(codec, stored, dtype, size, bases, scalars):
    """The raw bytes of a chunk."""
    w, stored = NUMBERS[dtype][0], io.BytesIO(stored)
    if codec == "raw":
        raw = stored.read()
    elif codec == "zstd":
        raw = inflate(stored.read(), size)
    elif codec == "planes-zstd":
        raw = words(inflate(stored.read(), size), 1).reshape(w, -1).T.tobytes()
    elif codec in ("split", "split-by"):
        high = grouped(stored, exponents(bases[0], dtype) if bases else np.zeros(size // w, int))
        low = words(stored.read(size // w * (w - 1)), 1).reshape(w - 1, -1)
        rotated = words(np.vstack([low, high]).T.tobytes(), w)
        raw = little(rotated >> 1 | rotated << 8 * w - 1)
    else:
        prediction, context = predict(codec, dtype, bases, scalars)
        r = residual(stored, exponents(context, dtype), w)
        d, sign, floats = (r >> 1) ^ (0 - (r & 1)), 1 << 8 * w - 1, NUMBERS[dtype][1] > 0
        x = words(prediction, w)
        ordered = (np.where(x & sign, ~x, x ^ sign) if floats else x) + d
        raw = little(np.where(ordered & sign, ordered ^ sign, ~ordered) if floats else ordered)
    assert len(raw) == size
    assert not stored.read()
    return raw


def words(data, w):
    return np.frombuffer(data, f"<u{w}")


def little(values):
    """Arithmetic gives this machine's byte order; what is stored is little-endian."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def inflate(frame, size):
    assert zstandard.frame_content_size(frame) == size
    return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)


def exponents(data, dtype):
    w, bits = NUMBERS[dtype]
    exponent = words(data, w) >> 8 * w - 1 - bits & (1 << bits) - 1
    return (exponent >> max(0, bits - 8)).astype(int)


def grouped(stored, contexts):
    sizes, waiting = [], 0
    for count in np.bincount(contexts).tolist():
        waiting += count
        if waiting >= 4096:
            sizes, waiting = [*sizes, waiting], 0
    if waiting:
        sizes = [*sizes[:-1], sum(sizes[-1:]) + waiting]
    lengths = struct.unpack(f"<{len(sizes)}I", stored.read(4 * len(sizes)))
    frames = [inflate(stored.read(length), size) for length, size in zip(lengths, sizes, strict=True)]
    values = words(b"".join(frames), 1)
    return values[np.argsort(np.argsort(contexts, kind="stable"))] if len(sizes) > 1 else values


def residual(stored, contexts, w):
    lengths = grouped(stored, contexts)
    assert lengths.max() <= 8 * w
    r = np.zeros(len(lengths), f"<u{w}")
    for length in range(1, 8 * w + 1):
        count, (planes, bits) = np.count_nonzero(lengths == length), divmod(length - 1, 8)
        low = sum(words(stored.read(count), 1).astype(r.dtype) << 8 * plane for plane in range(planes))
        packed = words(stored.read(-(-count * bits // 8)), 1)
        high = np.unpackbits(packed, count=count * bits).reshape(count, bits) @ (1 << np.arange(bits)[::-1])
        r[lengths == length] = (1 << bits | high.astype(r.dtype)) << 8 * planes | low
    return r


@np.errstate(all="ignore")
def predict(codec, dtype, bases, scalars):
    """The prediction, and the chunk whose exponents are the contexts."""
    if codec == "difference":
        return bases[0], bases[0]
    a, b, c = (*(widened(base, dtype) for base in bases), None)[:3]
    s = [a.dtype.type(scalar) for scalar in scalars]
    if codec == "second-moment-decayed":
        return narrowed(a * s[0], dtype), bases[1]
    if codec == "second-moment":
        gradient = (c - b * s[0]) / s[1]
        return narrowed(a * s[2] + (gradient * gradient) * s[3], dtype), bases[2]
    assert codec == "adam", "use a newer version"
    return narrowed(a * s[0] - (s[1] * b) / (np.sqrt(c) / s[2] + s[3]), dtype), bases[0]


def widened(data, dtype):
    if dtype == "bfloat16":
        return (words(data, 2).astype("u4") << 16).view("f4")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype("f8" if dtype == "float64" else "f4")


def narrowed(values, dtype):
    values = np.where(np.isnan(values), values.dtype.type(0), values)
    if dtype == "bfloat16":
        bits = values.view("u4")
        return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2").tobytes()
    return little(values.astype(dtype))
