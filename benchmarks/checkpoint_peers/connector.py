"""AWS's connector for PyTorch, as its README uses it: `torch.save` straight into a bucket, and back."""

import os
from typing import Any

import torch

from benchmarks.trails import Save
from lstm.checkpoints.tensors import to_torch
from storage.objects import Bucket


class Connector:
    """One object per state."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        from s3torchconnector import S3Checkpoint, S3ClientConfig  # type: ignore[import-not-found]

        access = bucket.access
        keys = access.access_key, access.secret_key
        assert None not in keys
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = map(str, keys)
        self._bucket, self._prefix = bucket, prefix
        self._checkpoint: Any = S3Checkpoint(
            access.region or "us-east-1",
            endpoint=access.endpoint_url,
            s3client_config=S3ClientConfig(force_path_style=True),
        )

    def save(self, state: Save) -> None:
        """Store one more."""
        with self._checkpoint.writer(self._uri(state.step)) as writer:
            torch.save({name: to_torch(tensor) for name, tensor in state.tensors.items()}, writer)

    def load(self, step: int) -> dict[str, torch.Tensor]:
        """Read one back."""
        with self._checkpoint.reader(self._uri(step)) as reader:
            loaded: dict[str, torch.Tensor] = torch.load(reader, weights_only=True)
        return loaded

    def close(self) -> int:
        """Bytes of all."""
        return sum(it.size for it in self._bucket.list(f"{self._prefix}/"))

    def _uri(self, step: int) -> str:
        return f"s3://{self._bucket.name}/{self._prefix}/{step}.pt"
