"""Files to rows without a server: what `carousel ingest` would append."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.sources import Collected, Piece, Reading, Spool, check_reading, collect
from storage.objects import Bucket


@dataclass(frozen=True)
class Read:
    """What became of some files."""

    found: Collected
    pieces: list[Piece]

    @property
    def rows(self) -> pa.Table:
        return pa.concat_tables([it.rows for it in self.pieces])

    @property
    def notes(self) -> str:
        return "\n".join([*self.found.notes, *(note for body in self.found.bodies for note in body.notes)])


def unseen(batches: Iterable[pa.Table], what: str = "") -> Iterator[pa.Table]:
    """Nobody watches the progress."""
    return iter(batches)


def no_bucket(name: str) -> Bucket:
    raise AssertionError(f"bucket {name} was asked for")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Read]:
    """Read files as the command would."""

    def call(sources: Path | Sequence[Path], *, existing: pa.Schema | None = None, **said: object) -> Read:
        reading = Reading(**said)  # type: ignore[arg-type]  # each test says what it needs
        check_reading(reading)
        paths = [sources] if isinstance(sources, Path) else sources
        with Spool(tmp_path, no_bucket) as spool:
            found = collect([str(it) for it in paths], reading, existing, spool, unseen)
            pieces = [piece for body in found.bodies for piece in body.pieces(spool.folder, unseen)]
        return Read(found, pieces)

    return call


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file."""

    def call(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return call
