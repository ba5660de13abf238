"""What a codec is: one lossless way to store a chunk, perhaps as what is left beside a prediction."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from storage.checkpoints.codecs.loops import Bytes
from storage.checkpoints.tensor import Buffer

Scalars: TypeAlias = tuple[float, ...]
"""Numbers of a prediction, float64; a manifest stores their bits."""


class Codec(Protocol):
    """One way to store bytes. Both methods are pure, and safe to call from many threads."""

    bases: int
    """How many other chunks it predicts from, each as long as the chunk and of its dtype."""
    scalars: int
    """How many numbers it needs for that."""
    format: int
    """The first format of repositories that has it."""

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> Buffer:
        """Stored form of `raw`."""
        ...

    def decode(
        self, stored: Buffer, dtype: str, into: Bytes, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> None:
        """Put the raw bytes into `into`, which is as long as they are. Raises Damaged."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One way in which a chunk may be predicted."""

    codec: str
    bases: tuple[Buffer, ...]
    """Raw bytes, in the order that the codec defines; each as long as the chunk."""
    scalars: Scalars = ()
    reads: int = 0
    """Stored bytes that a restore reads for the bases' sake, beside what it reads anyway."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chunk's stored form."""

    codec: str
    stored: Buffer
    prediction: int | None = None
    """Which of the predictions that were offered it rests on; None: on none."""
