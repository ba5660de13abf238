"""Trails that were trained once, kept below `.bench/trails`: a change of codecs needs no new training.

    python -m benchmarks.kept_trails [--saves N] [--cadences 1,10,100,1000]

trains those that are not there yet, of every kind and dtype, from the last save of one that was cut short.
A shorter trail is the beginning of a longer one. A trail of 50 saves takes 0.2 to 0.3 GB.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks import trails
from benchmarks.trails import TRAILS, Kind, Save, Width, trail
from lstm.checkpoints.tensors import from_torch, to_torch
from storage.checkpoints.hints import AdamHint

FOLDER = Path(".bench/trails")


def kept_trail(kind: Kind, width: Width, *, cadence: int, saves: int) -> Iterator[Save]:
    """As `trail`, from its files or the first ones of a longer trail; else trained, and written to files."""
    recipe = hashlib.sha256(Path(trails.__file__).read_bytes()).hexdigest()[:8]
    alike = f"{kind}-{width}-every-{cadence}"
    for folder in FOLDER.glob(f"{alike}-*-{recipe}*"):
        if len(kept := sorted(folder.glob("*.safetensors"))) >= saves:
            yield from map(_read, kept[:saves])
            return
    folder = FOLDER / f"{alike}-{saves}-{recipe}"
    part = folder.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    kept = sorted(part.glob("*.safetensors"))
    yield from map(_read, kept)
    last = _read(kept[-1]) if kept else None
    following = trail(kind, width, cadence=cadence, saves=saves, after=last)
    for number, state in enumerate(following, len(kept)):
        _write(part / f"{number:04d}.safetensors", state)
        yield state
    part.rename(folder)


def _write(path: Path, state: Save) -> None:
    tensors = {name: to_torch(tensor) for name, tensor in state.tensors.items()}
    hints = json.dumps([asdict(hint) for hint in state.hints])
    unfinished = path.with_suffix(".unfinished")
    save_file(tensors, unfinished, metadata={"step": str(state.step), "hints": hints})
    unfinished.rename(path)


def _read(path: Path) -> Save:
    with safe_open(path, "pt") as file:
        notes = file.metadata()
        tensors = {name: from_torch(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    hints = tuple(AdamHint(**it) for it in json.loads(notes["hints"]))
    return Save(int(notes["step"]), tensors, hints)


def main() -> None:
    """Train what is not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--saves", type=int, default=50)
    parser.add_argument("--cadences", default="1,10,100,1000")
    asked = parser.parse_args()
    for cadence in (int(it) for it in asked.cadences.split(",")):
        for kind, width in TRAILS:
            for state in kept_trail(kind, width, cadence=cadence, saves=asked.saves):
                print(f"\r{kind} {width} every {cadence}: step {state.step}", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
