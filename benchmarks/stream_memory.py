"""What a process that trains from a table holds in memory, however large the table is.

    python -m benchmarks.stream_memory [--quick]

- `rss_20x_over_1x`: largest resident memory of a process that streams one epoch of a table 20 times as
  large ÷ of one that just exceeds its budget (8 MiB; windows that do not overlap); `rss_1x_mb`, `rss_20x_mb`
- `table_over_cgroup_memory`: bytes of a table's files ÷ the memory that a control group allows a training of
  it, ranks and their launcher together: one epoch of a real run (two ranks, checkpoints) in a group of its
  own, which the kernel ends beyond that. `cgroup_mb`, `cgroup_peak_mb` (page cache included), `epoch_steps`,
  `epoch_s`. Needs root, and a system that lets groups be made; -1 where it does not
"""

import argparse
import multiprocessing
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import memory_peak
from benchmarks.report import print_result
from benchmarks.window_figures.table import plan_of, table_of
from benchmarks.window_peers.rows import BATCH, COLUMNS, LENGTH, make_rows
from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.job import Job, TableRef
from lstm.training.launch import launch
from lstm.windows import OrderSpec, SplitSpec, WindowReader, WindowSpec, WindowStream
from storage.local import LocalServer
from storage.objects import Access, Bucket
from storage.tables import Lake, create_table, lake_for, open_table

SMALL, TWENTY, HUGE = "s3://lake/small", "s3://lake/twenty", "s3://lake/huge"
BUDGET, SMALL_SERIES, SMALL_GROUP = 8 << 20, 12, 1024
"""12 series of 20,000 rows of 36 bytes: 8.2 MiB."""
GROUP_MB, TIMES = 768, 10
WIDTH, PART_ROWS = 64, 250_000
"""Numbers of a row, and rows of an append: 64 MB, a series of its own."""


def figures_of(access: Access, lake: Lake, *, quick: bool) -> dict[str, float]:
    """All figures; tables are written below `s3://lake`."""
    table_of(lake, SMALL, make_rows(SMALL_SERIES, 20_000), SMALL_GROUP)
    table_of(lake, TWENTY, make_rows(20 * SMALL_SERIES, 20_000), SMALL_GROUP)
    small, large = (in_child(peak_mb, access, uri) for uri in (SMALL, TWENTY))
    told = {"rss_20x_over_1x": large / small, "rss_1x_mb": small, "rss_20x_mb": large}
    print({name: round(value, 3) for name, value in told.items()}, flush=True)
    return told | in_cgroup(access, lake, quick=quick)


def peak_mb(access: Access, uri: str) -> float:
    """Largest resident memory after an epoch of windows that do not overlap; in a process of its own."""
    memory_peak.forget_peak()  # what the parent held when this process began counts otherwise
    snapshot = open_table(Lake(access=access), uri, format="delta").snapshot()
    plan = plan_of(snapshot, LENGTH, lanes=8)
    reader = WindowReader(snapshot, plan, COLUMNS, BUDGET)
    with WindowStream(plan, reader, "train", seed=0, batch_size=BATCH) as stream:
        assert sum(len(batch) for batch in stream) == plan.windows("train")
    return memory_peak.peak_mb()


def in_child(function: Callable[..., Any], *arguments: object) -> Any:
    """The same in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def in_cgroup(access: Access, lake: Lake, *, quick: bool) -> dict[str, float]:
    """One epoch of a real training, of a table ten times as large as what its group may hold."""
    with control_group(GROUP_MB) as group:
        if group is None:
            return {"table_over_cgroup_memory": -1.0}
        size = write_table(lake, GROUP_MB * (1 if quick else TIMES))
        began = time.perf_counter()
        steps = in_child(_trained, group, access)
        return {
            "table_over_cgroup_memory": size / (GROUP_MB * 2**20),
            "cgroup_mb": GROUP_MB,
            "cgroup_peak_mb": group.number("memory.max_usage_in_bytes", "memory.peak") / 2**20,
            "epoch_steps": steps,
            "epoch_s": time.perf_counter() - began,
        }


def write_table(lake: Lake, megabytes: int) -> int:
    """Rows of random numbers, which no compression makes smaller; the bytes of its files."""
    random, table, number = np.random.default_rng(0), None, 0
    while table is None or sum(file.size for file in table.snapshot().files) < megabytes << 20:
        values = random.standard_normal((WIDTH, PART_ROWS), np.float32)
        rows = pa.table(
            {
                "entity": np.full(PART_ROWS, number),
                "time": np.arange(PART_ROWS),
                **{f"x{column}": values[column] for column in range(WIDTH)},
            }
        )
        if table is None:
            table = create_table(lake, HUGE, rows.schema, format="delta", row_group_rows=PART_ROWS)
        table.append(rows, transaction=str(number))
        number += 1
    return sum(file.size for file in table.snapshot().files)


def _trained(group: "Group", access: Access) -> int:
    """Steps of one epoch; this process and those it starts are the group's."""
    group.enter()
    lake = Lake(access=access)
    snapshot = open_table(lake, HUGE, format="delta").snapshot()
    rows = sum(file.rows for file in snapshot.files)
    job = huge_job(snapshot.id, steps=rows // LENGTH // BATCH)
    with tempfile.TemporaryDirectory() as folder:
        done = launch(
            job,
            lake,
            attempt=secrets.token_hex(6),
            resume=False,
            log=Path(folder) / "log",
            on_event=lambda event: print(event, flush=True) if event["event"] != "progress" else None,
        )
    return done.step


def huge_job(snapshot: str, steps: int) -> Job:
    """Windows that do not overlap, so that an epoch reads each row once."""
    columns = tuple(f"x{number}" for number in range(WIDTH))
    return Job(
        run=secrets.token_hex(4),
        bucket="lake",
        repository="checkpoints",
        table=TableRef(
            uri=HUGE, format="delta", snapshot=snapshot, entity="entity", time="time", max_gap_s=None
        ),
        window=WindowSpec(context=96, horizon=24, stride=LENGTH),
        split=SplitSpec(validation=0.02, test=0),
        order=OrderSpec(),
        forecast=ForecastConfig(target="x0", past=columns[1:], layers=1, hidden=32),
        training=TrainingConfig(steps=steps, memory_mib=96, ranks=2, checkpoint_every=200, patience=0),
    )


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of Linux, of version 1 or 2."""

    folder: Path

    def enter(self) -> None:
        """From now on this process and its children are the group's."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def number(self, first: str, second: str) -> int:
        """Of its file of that name in version 1, else in version 2."""
        names = [name for name in (first, second) if (self.folder / name).exists()]
        return int((self.folder / names[0]).read_text()) if names else -1


@contextmanager
def control_group(megabytes: int) -> Iterator[Group | None]:
    """A group whose processes may hold so much; None: this system lets none be made."""
    base = Path("/sys/fs/cgroup")
    first = (base / "memory").is_dir()
    folder = (base / "memory" if first else base) / f"carousel-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
    except OSError as error:
        print(f"no control group: {error}", flush=True)
        yield None
        return
    try:
        (folder / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(megabytes << 20))
        yield Group(folder)
    finally:
        folder.rmdir()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a table as large as its group's memory")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            Bucket("lake", server.access).create()
            figures = figures_of(server.access, lake_for(server), quick=asked.quick)
        finally:
            server.stop()
    print_result("stream_memory", quick=asked.quick, figures=figures, peers={})


if __name__ == "__main__":
    main()
