"""What a user says of a table whose rows are whole sequences: documents, utterances, recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from lstm.windows.errors import WrongColumnType
from lstm.windows.table.column import Column
from lstm.windows.table.columns import column_type, is_text, list_value


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequences:
    """The column of a table whose cells hold a whole sequence each. A null cell is an empty sequence."""

    column: str
    """As the table calls it."""
    kind: Literal["list", "audio"] = "list"
    """`list`: of tokens, of numbers, or of lists (frames). `audio`: a recording (WAV, FLAC, OGG, MP3) in the
    cell's bytes, or in the object whose address `s3://bucket/key` the cell holds."""
    rate: int | None = None
    """Of audio: samples per second, which every recording must have; nothing is resampled."""
    channels: int = 1
    """Of audio: channels, which every recording must have."""

    def __post_init__(self) -> None:
        if not self.column:
            raise ValueError("Sequences.column must name a column")
        if self.kind not in ("list", "audio"):
            raise ValueError(f"Sequences.kind must be list or audio, got {self.kind!r}")
        if (self.rate is None) == (self.kind == "audio"):
            raise ValueError(
                f"Sequences.rate is for audio, and needed there, got {self.rate} for {self.kind}"
            )
        if self.rate is not None and self.rate < 1:
            raise ValueError(f"Sequences.rate must be >= 1 sample per second, got {self.rate}")
        if self.channels < 1 or (self.channels > 1 and self.kind != "audio"):
            raise ValueError(f"Sequences.channels must be >= 1, and 1 for lists, got {self.channels}")

    @property
    def position(self) -> str:
        """Name of the column that numbers a sequence's elements."""
        return f"{self.column}:position"

    def element(self, kind: pa.DataType) -> pa.DataType:
        """What the sequences of a column of this type are made of.

        Raises:
            WrongColumnType: it holds no sequences of this kind.
        """
        if self.kind == "audio":
            if not (is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
                raise WrongColumnType(
                    f"column {self.column!r} is {kind}, but recordings are bytes, or text that says where "
                    "they are"
                )
            return pa.float32() if self.channels == 1 else pa.list_(pa.float32(), self.channels)
        value = list_value(kind)
        if value is None:
            raise WrongColumnType(
                f"column {self.column!r} is {kind}, but sequences are lists; a table with one element per "
                "row is read without Sequences"
            )
        return value

    def feature(self, schema: pa.Schema) -> Column:
        """The column that windows of an unnested table hold unless others are asked for."""
        kind = self.element(column_type(schema, self.column))
        if pa.types.is_integer(kind):
            return Column(name=self.column, kind="token")
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else 1
        return Column(name=self.column, width=width)
