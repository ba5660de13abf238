"""How long do saving and restoring take, beside other tools on the same server?

    python -m benchmarks.checkpoint_speed [--quick] [--setup] [--rounds N]

The states of a real training (the language model of `benchmarks.trails`, float32 with both moments of AdamW,
25 steps apart) are saved and restored by this project's repository with its defaults, by PyTorch's
distributed checkpoint through fsspec and s3fs, and by AWS's connector for PyTorch: on the same embedded S3
server, over loopback and through a relay that lets 100 MB/s pass each way. Each contender is a process of its
own that stays; they take turns, round by round, and each restored tensor is compared. A save counts from the
call until the state is in the bucket, nothing else running (beside a training: `benchmarks.saving`).

Physical limit: raw bytes at the relay's rate; less where fewer bytes travel.

- `save_over_best_peer`, `restore_over_best_peer`: medians, ours ÷ the fastest peer's, over loopback; and the
  same with `_at_100_mb_s`
- `save_s`, `restore_s`, …: medians of ours; `peers` has the others'
- `save_over_limit_at_100_mb_s`, `restore_…`: ours ÷ raw bytes at 100 MB/s
- `one_tensor_requests`: requests for one tensor of a state that stands alone
- `one_tensor_requests_beside`: the same of the newest state, which rests on those before
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import torch

from benchmarks.checkpoint_peers import setup
from benchmarks.checkpoint_peers.contender import CONTENDERS
from benchmarks.report import Peak, print_result
from benchmarks.throttle import throttled
from benchmarks.trails import trail
from lstm.checkpoints.tensors import to_torch
from storage.checkpoints import Repository
from storage.local import LocalServer
from storage.object_access import client
from storage.objects import Access, Bucket

RATE = 100e6
CADENCE = 25
BUCKET = "speed"


class Contender:
    """A process of `benchmarks.checkpoint_peers.contender`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin
        assert process.stdout
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout

    def seconds(self, verb: str, number: int) -> float:
        """Of one save or restore."""
        self._in.write(f"{verb} {number}\n")
        self._in.flush()
        return float(self._out.readline())


@contextmanager
def contender(name: str, folder: Path, endpoint: str, access: Access, prefix: str) -> Iterator[Contender]:
    """Start one, and end it."""
    keys = {"AWS_ACCESS_KEY_ID": access.access_key, "AWS_SECRET_ACCESS_KEY": access.secret_key}
    command = [sys.executable, "-m", "benchmarks.checkpoint_peers.contender"]
    process = subprocess.Popen(
        [*command, name, str(folder), endpoint, BUCKET, prefix],
        env={**os.environ, **{key: str(value) for key, value in keys.items()}},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Contender(process)


def absent() -> dict[str, str]:
    """Why which peer cannot be measured."""
    setup.importable()
    there = {
        "dcp through fsspec": (setup.FSSPEC_FOLDER / "s3fs").is_dir(),
        "s3torchconnector": importlib.util.find_spec("s3torchconnector") is not None,
    }
    return {name: "not installed; --setup installs it" for name, found in there.items() if not found}


def write_states(folder: Path, count: int, hidden: int) -> int:
    """The states as files, numbered from 0; raw bytes of one."""
    size = 0
    for number, state in enumerate(trail("language", cadence=CADENCE, saves=count, start=50, hidden=hidden)):
        tensors = {name: to_torch(tensor) for name, tensor in state.tensors.items()}
        torch.save(tensors, folder / f"{number}.pt")
        (folder / f"{number}.json").write_text(json.dumps([asdict(hint) for hint in state.hints]))
        size = state.raw_bytes
    return size


def measure(
    folder: Path, endpoint: str, access: Access, prefix: str, rounds: int, peak: Peak
) -> dict[str, dict[str, float]]:
    """Medians of seconds, by contender; the first save of each is not counted."""
    missing = absent()
    with ExitStack() as stack:
        all_ = {
            name: stack.enter_context(
                contender(name, folder, endpoint, access, f"{prefix}/{name.replace(' ', '-')}")
            )
            for name in CONTENDERS
            if name not in missing
        }
        took: dict[str, dict[str, list[float]]] = {name: {"save": [], "restore": []} for name in all_}
        for number in range(rounds + 1):
            for name, it in all_.items():
                saved, restored = it.seconds("save", number), it.seconds("load", number)
                if number:
                    took[name]["save"].append(saved)
                    took[name]["restore"].append(restored)
            peak.sample()
    return {
        name: {f"{verb}_s": statistics.median(seconds) for verb, seconds in verbs.items()}
        for name, verbs in took.items()
    }


def one_tensor_requests(access: Access, prefix: str, number: int) -> int:
    """Requests that a restore of one tensor of a commit sends."""
    repository = Repository.open(Bucket(BUCKET, access), prefix)
    commit = repository.commits("run")[number]
    name = max(repository.restore("run", commit.id).tensors.items(), key=lambda it: it[1].nbytes)[0]
    sent: list[object] = []

    def count(**request: object) -> None:
        sent.append(request)

    clients = [client(access, retried=retried) for retried in (True, False)]
    for it in clients:
        it.meta.events.register("before-send.s3", count)
    try:
        repository.restore("run", commit.id, names=[name])
    finally:
        for it in clients:
            it.meta.events.unregister("before-send.s3", count)
    return len(sent)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small model, 3 rounds")
    parser.add_argument("--setup", action="store_true", help="install peers below .bench first")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    if asked.setup:
        setup.install()
    rounds, hidden = (3, 128) if asked.quick else (asked.rounds, 512)
    peak, figures = Peak(), dict[str, float]()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as root:
        states = Path(root) / "states"
        states.mkdir()
        raw = write_states(states, rounds + 1, hidden)
        server = LocalServer.start(Path(root) / "server", die_with_parent=True)
        try:
            Bucket(BUCKET, server.access).create()
            with throttled(server.endpoint_url, RATE) as slow:
                for suffix, endpoint in (("", server.endpoint_url), ("_at_100_mb_s", slow)):
                    prefix = f"way{suffix}"
                    found = measure(states, endpoint, server.access, prefix, rounds, peak)
                    results |= {f"{name}{suffix}": seconds for name, seconds in found.items()}
                    print(suffix or "loopback", found, flush=True)
                    ours = found.pop("carousel")
                    for verb in ("save", "restore"):
                        figures[f"{verb}_s{suffix}"] = ours[f"{verb}_s"]
                        if found:
                            best = min(it[f"{verb}_s"] for it in found.values())
                            figures[f"{verb}_over_best_peer{suffix}"] = ours[f"{verb}_s"] / best
            for verb in ("save", "restore"):
                figures[f"{verb}_over_limit_at_100_mb_s"] = figures[f"{verb}_s_at_100_mb_s"] / (raw / RATE)
            figures["one_tensor_requests"] = one_tensor_requests(server.access, "way/carousel", 0)
            figures["one_tensor_requests_beside"] = one_tensor_requests(server.access, "way/carousel", rounds)
        finally:
            server.stop()
    print_result(
        "checkpoint_speed",
        quick=asked.quick,
        figures={**figures, "state_mb": raw / 1e6, "rounds": rounds, "peak_rss_mb": round(peak.mb, 1)},
        peers={**results, **({"absent": absent()} if absent() else {})},
    )


if __name__ == "__main__":
    main()
