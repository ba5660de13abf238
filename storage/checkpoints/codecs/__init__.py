"""How a chunk's bytes are stored: lossless to the bit, chosen by trial, checked by decoding at once."""

from storage.checkpoints.codecs.choose import CODECS, checked_codec, decode, decode_into, encode, fits
from storage.checkpoints.codecs.codec import Codec, Encoded, Prediction, Scalars

__all__ = [
    "CODECS",
    "Codec",
    "Encoded",
    "Prediction",
    "Scalars",
    "checked_codec",
    "decode",
    "decode_into",
    "encode",
    "fits",
]
