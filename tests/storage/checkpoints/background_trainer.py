"""Trains beside its saves until it is killed: `background_trainer.py BUCKET PREFIX ACCESS SPOOL`.

Imports once; for each attempt named on its standard input it forks a trainer, which says its pid, then
`durable N` for each step that is. An attempt with `outage` in its name says `ready`, waits for a line, saves
once by a deadline that it is to miss, and says `spooled N`.
"""

import ast
import os
import sys
from pathlib import Path

from storage.checkpoints import BackgroundWriter, Repository, RunExists, RunWriter, Spool, recover
from storage.objects import Access, Bucket

from .states import state


def train(bucket: str, prefix: str, access: Access, spool: Spool, attempt: str) -> None:
    repository = Repository.open(Bucket(bucket, access), prefix)
    try:
        writer = RunWriter.create(repository, "run", attempt)
        writer.save(state(w=0, m=0), {"step": 0}, step=0)
        step = 1
    except RunExists:
        writer = RunWriter.take_over(repository, "run", attempt)
        recover(spool, writer)
        step = writer.resume().commit.step + 1
    saver = BackgroundWriter(writer, spool=spool, on_durable=lambda commit: say(f"durable {commit.step}"))
    if "outage" in attempt:
        say("ready")
        sys.stdin.readline()
        last = saver.save_now(state(w=step, m=0), {"step": step}, step=step, deadline_s=0.2)
        say(f"spooled {last.step}" if last.spooled else f"lost {last}")
        sys.stdin.readline()  # until it is killed
    while True:
        saver.save(state(w=step, m=0), {"step": step}, step=step)
        step += 1


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    bucket, prefix, access, folder = sys.argv[1:]
    while attempt := sys.stdin.readline().strip():
        if (pid := os.fork()) == 0:
            say(f"pid {os.getpid()}")
            spool = Spool(Path(folder), "run", 2**24)
            try:
                train(bucket, prefix, Access(**ast.literal_eval(access)), spool, attempt)
            finally:
                os._exit(1)
        os.waitpid(pid, 0)
        say("gone")
