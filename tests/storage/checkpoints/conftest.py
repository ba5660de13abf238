"""Buckets for the checkpoints' tests."""

import secrets

import pytest

from storage.objects import Access, Bucket


@pytest.fixture
def minio_bucket(minio: Access) -> Bucket:
    """A bucket of its own on MinIO."""
    bucket = Bucket(f"test-{secrets.token_hex(6)}", minio)
    bucket.create()
    return bucket
