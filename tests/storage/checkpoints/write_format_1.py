"""Write the fixture `format-1/`: a small repository of the first format, which every later version must read.

Run by `python -m tests.storage.checkpoints.write_format_1` in the project's root. It was run once, when the
format was new; a change of the format gets another fixture beside this one.
"""

import itertools
import json
import math
import shutil
from pathlib import Path

from storage.checkpoints import DTYPES, Repository, RunWriter, Tensor
from storage.checkpoints.format import canonical
from storage.checkpoints.tensor import raw_bytes

from .fake_store import FakeStore
from .fixed_bytes import bits

FOLDER = Path(__file__).with_name("format-1")
PAGE = "00000001-" + "f" * 32


def state(step: int) -> dict[str, Tensor]:
    """What the fixture's run holds at a step: every dtype, every codec, every way to be small."""
    smooth = b"".join(bytes([i % 7, i % 5, 60 + i % 2, 63]) for i in range(512))  # four planes that compress
    return {
        **{f"dtypes/{dtype}": Tensor(dtype, (2, 3), bits(raw_bytes(dtype, (2, 3)), 1)) for dtype in DTYPES},
        "codecs/raw": Tensor("uint8", (1100,), bits(1100, 2)),
        "codecs/zstd": Tensor("uint8", (5000,), bytes(range(250)) * 20),
        "codecs/planes": Tensor("float32", (512,), smooth),
        "blocks": Tensor("float16", (16, 40), bits(1280, 3), block_rows=4),
        "changes": Tensor("bfloat16", (20, 30), bits(1200, 100 + step)),
        "special/zeros and nans": Tensor("float32", (3,), bytes.fromhex("00000080 0100c07f efbeadff")),
        "special/empty": Tensor("int64", (0, 4), b""),
        "special/scalar": Tensor("int64", (), step.to_bytes(8, "little")),
    }


def meta(step: int) -> dict[str, object]:
    """What the fixture's commits hold beside tensors."""
    return {"step": step, "text": "Schnee ❄ \n", "numbers": [0.1, -0.0, 1e22, 2**70], "nothing": None}


def metrics(step: int) -> dict[str, float]:
    """The fixture's metrics."""
    return {"loss": 1 / (step + 1), "mae": math.inf, "best": -math.inf, "diverged": math.nan}


def write() -> FakeStore:
    """The fixture in memory: a run of four commits, one in a page and one damaged, and a fork."""
    numbers = itertools.count(1)
    store = FakeStore()
    repository = Repository.create(
        store, "", nonces=lambda: f"{next(numbers):032x}", clock=lambda: "2026-11-21T12:00:00.000+00:00"
    )
    store.server.objects["collections/00000001"] = canonical.dumps(
        {"condemned": ["packs/00000000-" + "e" * 32]}
    )
    first = RunWriter.create(repository, "run", "attempt-1")
    for step in (0, 10):
        first.save(
            state(step), meta(step), step=step, metrics=metrics(step), tags=["start"] if step == 0 else []
        )
    second = RunWriter.take_over(repository, "run", "attempt-2")
    second.save(state(20), meta(20), step=20, metrics=metrics(20), tags=["best"])
    lost = second.save(state(30), meta(30), step=30)
    del store.server.objects[f"runs/run/manifests/{lost.manifest}"]
    second.mark_damaged([lost.id])
    repository.fork("run", "best", "child", "attempt-3").save({"only": state(40)["changes"]}, {}, step=40)

    head = json.loads(store.server.objects["runs/run/head"])
    page = canonical.dumps({"commits": head["commits"][:1]})
    store.server.objects[f"runs/run/pages/{PAGE}"] = page
    head |= {"commits": head["commits"][1:], "pages": [[PAGE, len(page)]]}
    store.server.objects["runs/run/head"] = canonical.dumps(head)
    return store


def main() -> None:
    """Replace the folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for key, data in write().server.objects.items():
        path = FOLDER / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (FOLDER / ".gitattributes").write_text("* -text\n")


if __name__ == "__main__":
    main()
