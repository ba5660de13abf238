"""Sort more rows than fit in memory: cut the range of keys where samples say, and put each row into its part.

Parts are about equal in rows, and hold ranges of keys that do not overlap; each is sorted in memory later. It
costs one more writing and reading of all rows, and their size on disk meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.order import Keys
from pipelines.sources.spool import full_disk_told

_SAMPLES = 1_000
"""Of each piece."""
_SPARE = 1.25
"""More parts than pieces, as samples cut unevenly."""


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Keys at which parts begin; the first part has none."""

    keys: tuple[str, ...]
    """Entity (if any) and time."""
    starts: pa.Table
    """[parts - 1] in ascending order."""


def sample(rows: pa.Table, keys: Keys, piece_rows: int) -> pa.Table:
    """Some of the rows, the same ones each time, evenly by key."""
    order = keys.order()
    every = max(1, piece_rows // _SAMPLES)
    places = np.arange(0, rows.num_rows, every) if order is None else order[::every]
    return rows.take(pa.array(places))


def boundaries(samples: pa.Table, keys: Sequence[str], pieces: int) -> Boundaries:
    """Cut the range of keys into parts of about a piece each, by samples of all rows."""
    ordered = samples.select(list(keys)).sort_by([(it, "ascending") for it in keys])
    parts = max(2, int(pieces * _SPARE))
    places = np.unique(np.arange(1, parts) * ordered.num_rows // parts)
    return Boundaries(tuple(keys), ordered.take(pa.array(places)))


@dataclass(frozen=True, slots=True)
class Spilled:
    """Rows in files, one per part, in ascending order of keys."""

    paths: tuple[Path, ...]

    def check(self, entity: str | None, time: str, refuse: Callable[[pa.Table, int], None]) -> None:
        """Call `refuse` with the rows of a part and one of two that have the same key."""
        for path in self.paths:
            rows = _load(path, [it for it in (entity, time) if it is not None])
            twice = Keys.of(rows, entity, time).repeated()
            if twice is not None:
                refuse(rows, twice[0])

    def parts(self) -> Iterator[pa.Table]:
        """The rows of each part; its file is removed before the next."""
        for path in self.paths:
            yield _load(path, None)
            path.unlink()


def spill(batches: Iterator[pa.Table], cut: Boundaries, folder: Path) -> Spilled:
    """Write each row to the file of its part.

    Raises:
        UserError: the disk is full.
    """
    paths = [folder / f"part-{number:05d}.arrow" for number in range(cut.starts.num_rows + 1)]
    written = 0
    with ExitStack() as files:
        writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}
        for batch in batches:
            part = _part_of(batch, cut)
            for number in np.unique(part):
                rows = batch.filter(pa.array(part == number))
                with full_disk_told(folder, written + rows.nbytes):
                    if number not in writers:
                        writers[number] = files.enter_context(
                            pa.ipc.new_file(str(paths[number]), rows.schema)
                        )
                    writers[number].write_table(rows)
                written += rows.nbytes
    return Spilled(tuple(paths[number] for number in sorted(writers)))


def _part_of(batch: pa.Table, cut: Boundaries) -> np.ndarray:
    """[n] the part of each row: how many parts begin at or before its key."""
    part = np.zeros(batch.num_rows, np.int64)
    *entity, time = cut.keys
    for start in cut.starts.to_pylist():
        after = pc.greater_equal(batch.column(time), pa.scalar(start[time], batch.column(time).type))
        for name in entity:
            bound = pa.scalar(start[name], batch.column(name).type)
            here = pc.and_(pc.equal(batch.column(name), bound), after)
            after = pc.or_(pc.greater(batch.column(name), bound), here)
        part += np.asarray(after.to_numpy(), np.int64)
    return part


def _load(path: Path, columns: Sequence[str] | None) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        if columns is None:
            return reader.read_all().combine_chunks()
        names = reader.schema.names
        some = pa.ipc.IpcReadOptions(included_fields=[names.index(it) for it in columns])
        return pa.ipc.open_file(file, options=some).read_all().select(list(columns)).combine_chunks()
