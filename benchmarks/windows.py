"""How fast do windows of a table come, beside the memory they come from and beside other libraries?

    python -m benchmarks.windows [--quick] [--setup] [--pairs N] [--without-peers] [--allocator]

Windows of 96 + 24 rows of 7 float32 columns, batches of 256, shuffled, one thread for PyTorch. Whatever is
compared runs in alternating pairs in one process; figures are medians of the pairs' ratios (5 at least; with
`--quick` 3, and 1 beside peers; fewer where a peer takes minutes), so that a machine that grows slower does
so for both. `load` is the machine's when it ended: on a machine of 2 cores it should be below 2. Where
windows start one row apart and where they start a horizon apart, figures end in `_stride_1` and
`_stride_horizon`; the smaller is the figure without it.

Beside the bare loop the allocator is set as training sets it for its ranks, for both. Beside peers it is
left as it is, for them, for us, and for the loop, as nobody who uses them is told to set it; with
`--allocator` it is set for all of them.

- `gather_over_memcpy`: bytes per second of gathering whole batches ÷ of copying as many into memory that
  was touched before
- `windows_over_bare_gather`: our stream from a Delta table on the embedded S3 server, after an epoch that
  filled its cache, up to tensors ÷ `window_peers.rows.bare`, a loop that gathers from one array in memory;
  `..._on_core` compares processor time of the whole process, loaders included, which others' work disturbs
  less; `..._cold` is that first epoch, in which the table is read by `gets_cold` GETs of `mb_cold` MB
- `windows_over_best_peer`, `windows_over_window_libraries`: (ours ÷ bare loop) ÷ (peer ÷ bare loop) of whole
  passes over the same, smaller tables (as many windows at both strides), warm, each in its own process: the
  best of {DataLoader as people write it, Hugging Face, Darts, neuralforecast}, and of {pytorch-forecasting,
  GluonTS, mosaicml-streaming}, each by its own loader, with settings under which a pass takes every window
  once. Batches count as a library gives them, in parts or in one. Faster ways that take more than a user
  writes are shown beside them: `windows_over_dataloader_getitems` (a vectorised `__getitems__`),
  `..._dataloader_one_part` (context and horizon in one tensor), `..._gluonts_splitter` (its splitter alone,
  without what its estimators add). GluonTS has no setting under which it takes every window once; the figure
  gives it a sampler that does, and `..._window_libraries_by_default` has its own, which draws as many at
  random. `bare_over_best_peer` and its like: the loop that only copies, one batch at a time, ÷ the same
  peers. Peers have the rows in memory (mosaicml-streaming: its samples on disk). Each peer's windows are
  proven to be the loop's, as a multiset, and so are ours; a peer that is not there is told as `absent`, with
  the reason, and is in no figure
- `s3_over_bare_get_decode`: a cold epoch of windows that do not overlap (stride 120) ÷ parallel ranged GETs
  of the same row groups' bytes, each decoded by pyarrow to float32 as it comes; rows per second.
  `s3_gets` and `s3_mb` are what that epoch asked for; `read_amplification_excess`: bytes fetched in it ÷
  bytes of the needed column chunks − 1
- `entities_over_uniform`: distinct series per batch at the default pool ÷ of a uniform shuffle
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch

from benchmarks.report import Peak, print_result
from benchmarks.trainings_memory import in_trainings_memory
from benchmarks.window_figures.gather import gather_over_memcpy, over_bare
from benchmarks.window_figures.medians import both
from benchmarks.window_figures.mixing import mixing
from benchmarks.window_figures.s3 import from_s3
from benchmarks.window_figures.table import table_of
from benchmarks.window_peers import setup
from benchmarks.window_peers.compare import over_peers, peer
from benchmarks.window_peers.measure import OURS, PEERS, STRIDES
from benchmarks.window_peers.rows import FEATURES, make_rows
from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables import lake_for


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--setup", action="store_true", help="install peers below .bench first")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--without-peers", action="store_true", help="only what needs no other library")
    parser.add_argument("--allocator", action="store_true", help="set it for peers, and for us beside them")
    asked = parser.parse_args()
    in_trainings_memory("benchmarks.windows")
    if asked.setup:
        setup.install()
    torch.set_num_threads(1)
    pairs = asked.pairs or (3 if asked.quick else 5)
    series = 20 if asked.quick else 200
    small = (10, 500) if asked.quick else (20, 5000)
    peak, rows = Peak(), {label: make_rows(series, 10_000, stride) for label, stride in STRIDES.items()}
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            bucket = Bucket("lake", server.access)
            bucket.create()
            lake = lake_for(server)
            values = rows["stride_1"]
            snapshot = table_of(lake, "s3://lake/large", values, 4096)
            figures["gather_over_memcpy"] = gather_over_memcpy(values.values.reshape(-1, FEATURES), pairs)
            figures |= both({label: over_bare(snapshot, rows[label], pairs) for label in STRIDES})
            _show(figures)
            figures |= from_s3(bucket, table_of(lake, "s3://lake/cold", values, 65536), pairs)
            entities = {label: mixing(snapshot, stride, 400) for label, stride in STRIDES.items()}
            figures |= both({label: {"entities_over_uniform": it} for label, it in entities.items()})
            peak.sample()
            _show(figures)
        finally:
            server.stop()
    peers = {}
    if not asked.without_peers:
        ours, *theirs = (
            peer(name, *small, 1 if asked.quick else pairs, allocator=asked.allocator)
            for name in (OURS, *PEERS)
        )
        peers = dict(zip(PEERS, theirs, strict=True))
        figures |= both({label: over_peers(label, ours, peers) for label in STRIDES})
        peers[OURS] = ours
    load = os.getloadavg()[0]
    print_result(
        "windows",
        quick=asked.quick,
        figures={**figures, "pairs": pairs, "load": load, "peak_rss_mb": round(peak.mb, 1)},
        peers=peers,
    )


def _show(figures: dict[str, float]) -> None:
    print({name: round(value, 4) for name, value in figures.items()}, flush=True)


if __name__ == "__main__":
    main()
