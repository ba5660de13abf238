"""How much do checkpoints of real trainings store, beside other tools on the same states?

    python -m benchmarks.checkpoints [--quick] [--setup] [--saves N] [--cadences 1,10,100,1000] [--trails …]

Four trails (`benchmarks.trails`): a forecaster and a language model, in float32 and bfloat16; weights and
both moments of AdamW. Each is saved every 1, 10, 100, 1000 steps, N times (50), by this project's repository
on an embedded S3 server, through its public API, and by each peer. Stored are all bytes below the prefix:
keyframes, manifests and heads included. Figures are means over the trails, those that end in `_worst_trail`
the worst of them; `peers` has all of them, and under `absent` why a peer was not measured.

`stored_over_best_peer`: worst cadence of 1, 10 and 100, of peers as shipped; `…_at_1000` has a limit of its
own. `stored_over_best_peer_with_base`: against ZipNN that is given the state before.
`restore_read_over_raw`: worst commit at cadence 1. `zero_copy_bytes`: of all
cases of `benchmarks.nothing_twice`. `stored_over_kept_raw`: the first trail at
cadence 1, of which the last 3 saves and every 10th are kept, repacked, and collected twice; all bytes below
the prefix ÷ raw bytes of the kept commits. Speed: `benchmarks.checkpoint_speed`. `--quick`: one trail of each
dtype, 10 saves, cadences 1 and 10. All of it takes hours, nearly all of them training, which is done once
(`benchmarks.kept_trails`); `--cadences 1,10` and such give one result each, and so does
`--trails language-float32,…`, whose means are then of fewer trails (`trails`).
"""

import argparse
import importlib.util
import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.checkpoint_peers import compressors, connector, folders, setup
from benchmarks.kept_trails import kept_trail
from benchmarks.nothing_twice import zero_copy_bytes
from benchmarks.report import Peak, print_result
from benchmarks.trails import TRAILS, Save
from storage.checkpoints import EVERY_STEP, DeltaPolicy, Repository, Retention, RunWriter
from storage.local import LocalServer
from storage.objects import Bucket

WITH_BASE = "zipnn with the previous"


class Ours:
    """This project's repository, with one policy."""

    def __init__(self, bucket: Bucket, prefix: str, policy: DeltaPolicy) -> None:
        self.repository = Repository.create(bucket, prefix)
        self._writer = RunWriter.create(self.repository, "run", "attempt")
        self._writer.deltas = policy

    def save(self, state: Save) -> None:
        """Store one more."""
        self._writer.save(state.tensors, {}, step=state.step, hints=state.hints)

    def close(self) -> int:
        """Bytes of everything below the prefix."""
        return self.repository.statistics().stored_bytes

    def read_over_raw(self) -> float:
        """Of the commit whose restore reads most."""
        reads = (self.repository.restore("run", it.id) for it in self.repository.commits("run"))
        return max(it.read_bytes / it.commit.raw_bytes for it in reads)


def peers(bucket: Bucket, name: str) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Those that are there, for one trail; and why others are not."""
    setup.importable()
    found: dict[str, Callable[[], Any]] = {
        "torch.save": lambda: compressors.Files(compressors.torch_save),
        "zstd": lambda: compressors.Files(compressors.zstd),
        "dcp with zstd": folders.Distributed,
        "s3torchconnector": lambda: connector.Connector(bucket, f"{name}/connector"),
        "zipnn": lambda: compressors.Files(compressors.zipnn),
        WITH_BASE: lambda: compressors.Files(compressors.zipnn_with_base),
        "restic": folders.restic,
        "borg": folders.borg,
    }
    absent = {
        peer: f"{package} is not installed; --setup installs it"
        for peer, package in (
            ("zipnn", "zipnn"),
            (WITH_BASE, "zipnn"),
            ("s3torchconnector", "s3torchconnector"),
        )
        if not importlib.util.find_spec(package)
    } | {
        command: "not installed; it comes from the system's packages"
        for command in ("restic", "borg")
        if not folders.is_there(command)
    }
    return {peer: make for peer, make in found.items() if peer not in absent}, absent


def stored_over_raw(states: Iterable[Save], stores: dict[str, Any], peak: Peak) -> dict[str, float]:
    """Of each store, after all states."""
    raw = 0
    for state in states:
        raw += state.raw_bytes
        for store in stores.values():
            store.save(state)
        peak.sample()
    return {name: store.close() / raw for name, store in stores.items()}


def stored_over_kept_raw(bucket: Bucket, saves: int) -> float:
    """After retention, a repack and two collections."""
    kind, width = TRAILS[0]
    ours = Ours(bucket, "kept", DeltaPolicy())
    for state in kept_trail(kind, width, cadence=1, saves=saves):
        ours.save(state)
    ours.repository.retain("run", Retention(last=3, every=10))
    ours.repository.repack("run")
    for _ in range(2):
        ours.repository.collect()
    found = ours.repository.statistics()
    return found.stored_bytes / found.raw_bytes


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--setup", action="store_true", help="install peers below .bench first")
    parser.add_argument("--saves", type=int, default=50)
    parser.add_argument("--cadences", default="1,10,100,1000")
    parser.add_argument("--trails", default=",".join(f"{kind}-{width}" for kind, width in TRAILS))
    asked = parser.parse_args()
    if asked.setup:
        setup.install()
    saves = 10 if asked.quick else asked.saves
    cadences = [1, 10] if asked.quick else [int(it) for it in asked.cadences.split(",")]
    trails = TRAILS[:2] if asked.quick else [it for it in TRAILS if "-".join(it) in asked.trails.split(",")]
    peak, results, reads = Peak(), {}, []
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            bucket = Bucket("lake", server.access)
            bucket.create()
            for kind, width in trails:
                for cadence in cadences:
                    name = f"{kind} {width} every {cadence}"
                    ours = {
                        "carousel": Ours(bucket, f"{name}/usual", DeltaPolicy()),
                        "carousel every-step": Ours(bucket, f"{name}/deep", EVERY_STEP),
                    }
                    states = kept_trail(kind, width, cadence=cadence, saves=saves)
                    makers, absent = peers(bucket, name)
                    stores = {**ours, **{it: make() for it, make in makers.items()}}
                    results[name] = stored_over_raw(states, stores, peak)
                    if cadence == 1:
                        reads.append(ours["carousel"].read_over_raw())
                    print(name, {it: round(value, 4) for it, value in results[name].items()}, flush=True)
            zero = zero_copy_bytes(bucket)
            print("nothing twice", zero, flush=True)
            kept = stored_over_kept_raw(bucket, saves)
        finally:
            server.stop()
    print_result(
        "checkpoints",
        quick=asked.quick,
        figures={
            **figures(results, cadences),
            **({"restore_read_over_raw": max(reads)} if reads else {}),
            "stored_over_kept_raw": kept,
            "zero_copy_bytes": sum(zero.values()),
            "saves": saves,
            "trails": len(trails),
            "peak_rss_mb": round(peak.mb, 1),
        },
        peers={**results, **({"absent": absent} if absent else {})},
    )


def figures(results: dict[str, dict[str, float]], cadences: list[int]) -> dict[str, float]:
    """Means over trails, and the worst of them."""

    def over_trails(cadence: int, value: Callable[[dict[str, float]], float]) -> list[float]:
        return [value(found) for name, found in results.items() if name.endswith(f" every {cadence}")]

    def over_best(found: dict[str, float]) -> float:
        shipped = [it for name, it in found.items() if not name.startswith("carousel") and name != WITH_BASE]
        return found["carousel"] / min(shipped)

    def over_base(found: dict[str, float]) -> float:
        return found["carousel"] / found[WITH_BASE]

    found: dict[str, float] = {}

    def add(name: str, values: list[list[float]]) -> None:
        """The worst of some cadences."""
        found[name] = max(statistics.mean(trails) for trails in values)
        found[f"{name}_worst_trail"] = max(max(trails) for trails in values)

    usual = [it for it in cadences if it <= 100]
    if usual:
        add("stored_over_best_peer", [over_trails(it, over_best) for it in usual])
    for cadence in cadences:
        add(f"stored_over_best_peer_at_{cadence}", [over_trails(cadence, over_best)])
        add(f"stored_over_raw_at_{cadence}", [over_trails(cadence, lambda it: it["carousel"])])
    if 1 in cadences:
        found["stored_over_raw_every_step"] = found["stored_over_raw_at_1"]
        add("stored_over_raw_every_step_deep", [over_trails(1, lambda it: it["carousel every-step"])])
    if 100 in cadences:
        found["stored_over_raw_usual"] = found["stored_over_raw_at_100"]
    if all(WITH_BASE in it for it in results.values()):
        add("stored_over_best_peer_with_base", [over_trails(it, over_base) for it in cadences])
    return found


if __name__ == "__main__":
    main()
