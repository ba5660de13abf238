"""Encryption and locks that the server does: asked for with each object, and in nobody's way."""

from dataclasses import replace

import numpy as np
import pytest

from storage.checkpoints import Repository, RunWriter, Tensor
from storage.errors import UserError
from storage.object_access import client
from storage.objects import Access, Bucket
from storage.tables import Lake
from storage.tables.open import create_table

from ..conftest import KMS_KEY, fresh_bucket
from .tables.rows import SENSORS, sensors

PLACES = [
    ({"encryption_at_rest": "AES256"}, "AES256", None),
    ({"encryption_at_rest": "aws:kms", "kms_key_id": KMS_KEY}, "aws:kms", KMS_KEY),
]


def weights(seed: int) -> dict[str, Tensor]:
    drawn = np.random.default_rng(seed).standard_normal((100, 64)).astype(np.float32)
    return {"w": Tensor.from_numpy(drawn)}


def saved(bucket: Bucket) -> Repository:
    """A repository with two commits of a run, the second in place of the first."""
    repository = Repository.create(bucket, "ck")
    writer = RunWriter.create(repository, "run", "a1")
    for step in range(2):
        writer.save(weights(step), {}, step=step)
    repository.drop("run", [repository.commits("run")[0].id])
    return repository


@pytest.mark.parametrize(("asked", "algorithm", "key"), PLACES, ids=["AES256", "aws:kms"])
def test_every_object_of_a_repository_is_encrypted_as_asked(minio, asked, algorithm, key):
    bucket = Bucket(fresh_bucket(minio).name, replace(minio, **asked))
    assert saved(bucket).restore("run").tensors == weights(1)
    assert encrypted(bucket, minio) == {(algorithm, key)}


def test_every_object_of_a_delta_table_is_encrypted_as_asked(minio):
    bucket = fresh_bucket(minio)
    lake = Lake(access=replace(minio, encryption_at_rest="AES256"))
    table = create_table(lake, f"s3://{bucket.name}/t", SENSORS, format="delta")
    table.append(sensors(10), transaction="1")
    assert encrypted(bucket, minio) == {("AES256", None)}


def encrypted(bucket: Bucket, access: Access) -> set[tuple[str | None, str | None]]:
    """Algorithm and key of every object in the bucket."""
    s3 = client(access, retried=True)
    answers = [s3.head_object(Bucket=bucket.name, Key=it.key) for it in bucket.list()]
    assert answers
    return {(it.get("ServerSideEncryption"), _last_part(it.get("SSEKMSKeyId"))) for it in answers}


def _last_part(key: str | None) -> str | None:
    """A key's id without where the server says that it lies (`arn:aws:kms:...`)."""
    return key and key.replace("/", ":").rpartition(":")[2]


def test_a_kms_key_without_kms_is_refused():
    with pytest.raises(UserError, match="aws:kms"):
        Access(kms_key_id="some-key")


def test_a_repository_lives_in_a_bucket_that_locks_every_object(minio):
    s3 = client(minio, retried=True)
    bucket = Bucket(f"{fresh_bucket(minio).name}-locked", minio)
    s3.create_bucket(Bucket=bucket.name, ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(
        Bucket=bucket.name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
        },
    )
    repository = saved(bucket)
    repository.collect()
    assert repository.collect().deleted.objects == 2  # hidden by markers; the lock keeps their versions
    assert repository.restore("run").tensors == weights(1)
    assert repository.verify(deep=True).findings == []
