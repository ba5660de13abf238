"""Write the fixture `format-2/`: a small repository with saves that rest on each other.

Run by `python -m tests.storage.checkpoints.write_format_2` in the project's root. It was run once, when the
format was new; a change of the format gets another fixture beside this one.
"""

import itertools
import shutil
from pathlib import Path

from storage.checkpoints import Repository, RunWriter

from .adam import states
from .fake_store import FakeStore

FOLDER = Path(__file__).with_name("format-2")
STEPS = (1, 2, 3, 13, 14)
ROWS = 24


def write() -> FakeStore:
    """The fixture in memory: a run of adjacent and of further saves, and a fork of it."""
    numbers = itertools.count(1)
    store = FakeStore()
    repository = Repository.create(
        store, "", nonces=lambda: f"{next(numbers):032x}", clock=lambda: "2026-11-26T12:00:00.000+00:00"
    )
    writer = RunWriter.create(repository, "run", "attempt-1")
    for step, (tensors, hints) in enumerate(states(max(STEPS), ROWS), start=1):
        if step in STEPS:
            writer.save(tensors, {"step": step}, step=step, hints=hints)
    repository.fork("run", "newest", "child", "attempt-2")
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
