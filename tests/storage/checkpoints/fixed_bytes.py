"""Bytes that are the same on every machine, for fixtures."""


def bits(size: int, seed: int) -> bytes:
    """Bytes that hardly compress, from arithmetic alone (splitmix64), so that no library can change them."""
    out, state = bytearray(), seed
    while len(out) < size:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        out += (z ^ (z >> 31)).to_bytes(8, "little")
    return bytes(out[:size])
