"""Saves until it is killed, and tells each request: `endless_trainer.py BUCKET PREFIX ATTEMPT ACCESS`."""

import ast
import sys

import numpy as np

from storage.checkpoints import Repository, RunExists, RunWriter, Tensor
from storage.objects import Access, Bucket


class Talkative(Bucket):
    def put(self, key, data):
        print("put", key.split("/")[-2], flush=True)
        return super().put(key, data)

    def put_if_match(self, key, data, etag):
        print("put_if_match", key.split("/")[-1], flush=True)
        return super().put_if_match(key, data, etag)


def drawn(name: str, seed: int) -> Tensor:
    rng = np.random.default_rng([seed, *name.encode()])
    return Tensor.from_numpy(rng.standard_normal((8, 64)).astype(np.float32))


bucket, prefix, attempt, access = sys.argv[1:]
repository = Repository.open(Talkative(bucket, Access(**ast.literal_eval(access))), prefix)
try:
    writer = RunWriter.create(repository, "run", attempt)
    step = 0
except RunExists:
    writer = RunWriter.take_over(repository, "run", attempt)
    step = writer.resume().commit.step + 1
while True:
    writer.save({"w": drawn("w", step), "m": drawn("m", 0)}, {"step": step}, step=step)
    print("saved", flush=True)
    step += 1
