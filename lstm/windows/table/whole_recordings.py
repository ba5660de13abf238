"""Whether a recording's bytes are all there, where its format tells and libsndfile does not.

libsndfile takes a WAV or an OGG that was cut short for a shorter one. A cut FLAC or MP3 is found when it is
decoded, by the length in its header. One that was written to a pipe has none, and where it is cut between two
frames nothing tells.
"""

import struct

_OPEN_ENDED = 0x7FFF_F000
"""From this size on, a chunk of data is as long as it happens to be: programs that write to a pipe leave such
sizes (SoX this one, ffmpeg the largest of 32 bits), and recordings of so many bytes are refused anyway."""
_LAST_PAGE = 4
"""The bit of an Ogg page's flags that says that its stream ends with it."""


def what_lacks(data: bytes) -> str | None:
    """Say what is not there of a recording; None: nothing, as far as its format tells.

    Sources: Microsoft's RIFF and EBU Tech 3306 (RF64), RFC 3533 (Ogg).
    """
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return _of_wave(data)
    return _of_ogg(data) if data[:4] == b"OggS" else None


def _of_wave(data: bytes) -> str | None:
    order = ">" if data[:4] == b"RIFX" else "<"
    at, wide = 12, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from(order + "I", data, at + 4)[0]
        if name == b"ds64" and at + 24 <= len(data):
            wide = struct.unpack_from(order + "Q", data, at + 16)[0]
        if name == b"data":
            promised = wide if size == 0xFFFF_FFFF and wide else size if size < _OPEN_ENDED else 0
            there = len(data) - at - 8
            return None if promised <= there else f"holds {there} of the {promised} bytes that it promises"
        at += 8 + size + size % 2
    return "is cut: it ends before its chunk of data"


def _of_ogg(data: bytes) -> str | None:
    at, flags = 0, 0
    while at + 27 <= len(data) and data[at : at + 4] == b"OggS":
        sizes = at + 27
        end = sizes + data[at + 26]
        end += sum(data[sizes:end])
        if end > len(data):
            break
        at, flags = end, data[at + 5]
    return (
        None if flags & _LAST_PAGE else f"is cut: none of its pages up to byte {at} says that it is the last"
    )
