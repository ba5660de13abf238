"""What a process that trains from a table holds in memory, however large the table is.

    python -m benchmarks.stream_memory [--quick]

- `rss_20x_over_1x`: largest resident memory of a process that streams one epoch of a table 20 times as
  large ÷ of one that just exceeds its budget (8 MiB; windows that do not overlap); `rss_1x_mb`, `rss_20x_mb`
- `table_over_cgroup_memory`: bytes of a table's files ÷ the memory that a control group allows a training of
  it, its rank and agent together (of its launcher, what it takes after its imports): one epoch of a real run
  (index, statistics, checkpoints, validation) in a group of its own, which the kernel ends beyond that.
  `cgroup_mb`, `cgroup_peak_mb` (page cache included), `cgroup_ended` (processes that the kernel ended),
  `epoch_steps`, `epoch_s` (index and statistics, which read the table once more, included). Needs root, and a
  system that lets groups be made; -1 where it does not. The table is written outside of the group
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

from benchmarks import memory_peak
from benchmarks.copied_table import write_copies
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
from storage.tables import Lake, lake_for, open_table

SMALL, TWENTY, HUGE = "s3://lake/small", "s3://lake/twenty", "s3://lake/huge"
BUDGET, SMALL_SERIES, SMALL_GROUP = 8 << 20, 12, 1024
"""12 series of 20,000 rows of 36 bytes: 8.2 MiB."""
GROUP_MB, TIMES, RANK_MIB, SMALL_BATCH = 768, 10, 72, 64
"""A rank is a Python with torch, 300 MB before it trains, and its agent 155: of one rank, `RANK_MIB` are what
it may hold of the table. A second rank would make the group and the table larger by half."""
WIDTH, FILE_ROWS, GROUP_ROWS = 64, 250_000, 8192
"""Numbers of a row, and rows of a file (65 MB, a series of its own) and of its row groups (2 MB)."""


def figures_of(access: Access, lake: Lake, *, quick: bool) -> dict[str, float]:
    """All figures; tables are written below `s3://lake`."""
    table_of(lake, SMALL, make_rows(SMALL_SERIES, 20_000), SMALL_GROUP)
    table_of(lake, TWENTY, make_rows(20 * SMALL_SERIES, 20_000), SMALL_GROUP)
    small, large = (in_child(peak_mb, access, uri) for uri in (SMALL, TWENTY))
    told = {"rss_20x_over_1x": large / small, "rss_1x_mb": small, "rss_20x_mb": large}
    print({name: round(value, 3) for name, value in told.items()}, flush=True)
    return told | in_cgroup(access, quick=quick)


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


def in_cgroup(access: Access, *, quick: bool) -> dict[str, float]:
    """One epoch of a real training, of a table ten times as large as what its group may hold."""
    with control_group(GROUP_MB) as group:
        if group is None:
            return {"table_over_cgroup_memory": -1.0}
        size = write_copies(
            access,
            HUGE,
            (GROUP_MB << 20) * (1 if quick else TIMES),
            rows=FILE_ROWS,
            width=WIDTH,
            row_group_rows=GROUP_ROWS,
        )
        began = time.perf_counter()
        steps = in_child(_trained, group, access)
        return {
            "table_over_cgroup_memory": size / (GROUP_MB * 2**20),
            "cgroup_mb": GROUP_MB,
            "cgroup_peak_mb": group.number("memory.max_usage_in_bytes", "memory.peak") / 2**20,
            "cgroup_ended": group.ended(),
            "epoch_steps": steps,
            "epoch_s": time.perf_counter() - began,
        }


def _trained(group: "Group", access: Access) -> int:
    """Steps of one epoch; this process and those it starts are the group's."""
    group.enter()
    lake = Lake(access=access)
    snapshot = open_table(lake, HUGE, format="delta").snapshot()
    rows = sum(file.rows for file in snapshot.files)
    job = huge_job(snapshot.id, steps=rows // LENGTH // SMALL_BATCH)
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
        order=OrderSpec(lanes=8),
        forecast=ForecastConfig(target="x0", past=columns[1:], layers=1, hidden=16),
        training=TrainingConfig(
            steps=steps,
            batch_size=SMALL_BATCH,
            memory_mib=RANK_MIB,
            ranks=1,
            checkpoint_every=500,
            patience=0,
        ),
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

    def ended(self) -> int:
        """How many of its processes the kernel has ended for want of memory."""
        names = [name for name in ("memory.oom_control", "memory.events") if (self.folder / name).exists()]
        lines = (line.split() for line in (self.folder / names[0]).read_text().splitlines())
        return int(dict(lines)["oom_kill"])


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
