"""From a few options to where the table is read and where the rest is written."""

from types import SimpleNamespace

import pytest

from pipelines.config.storage import AccessConfig, StorageConfig
from pipelines.derive.places import Places, predictions_of, storage_and_access
from pipelines.derive.reasons import Reasons
from storage.errors import UserError

BESIDE = "s3://data/carousel/predictions/r"
URL, OTHER = "http://127.0.0.1:9000", "https://s3.example.org"


def placed(**options):
    options.setdefault("table", "s3://data/x/waves")
    storage, access = storage_and_access(Places(**options), Reasons())
    return storage, access


@pytest.fixture(autouse=True)
def _no_keys_of_data(monkeypatch):
    monkeypatch.delenv("CAROUSEL_DATA_ACCESS_KEY_ID", raising=False)


def test_without_a_server_all_is_on_the_embedded_one():
    assert placed() == placed(repository="local") == (StorageConfig(), None)


def test_the_server_of_the_table_keeps_the_rest_too():
    storage, access = placed(endpoint_url=URL, profile="mine")
    assert access is None
    assert (storage.endpoint_url, storage.profile, storage.bucket) == (URL, "mine", "data")
    assert (storage.repository, storage.reports) == ("carousel/checkpoints", "carousel/reports")


def test_a_profile_alone_means_aws():
    assert placed(profile="mine")[0].endpoint_url == "aws"


def test_a_local_repository_only_reads_the_table():
    storage, access = placed(endpoint_url=URL, profile="reader", repository="local")
    assert storage == StorageConfig()
    assert access == AccessConfig(endpoint_url=URL, profile="reader")


def test_a_repository_elsewhere_has_its_own_server_and_keys():
    storage, access = placed(
        endpoint_url=URL, profile="reader", repository="s3://models/team", repository_endpoint_url=OTHER
    )
    assert access == AccessConfig(endpoint_url=URL, profile="reader")
    assert (storage.endpoint_url, storage.profile) == (OTHER, None)
    assert (storage.bucket, storage.repository, storage.reports) == ("models", "team", "team/reports")


def test_keys_of_the_data_alone_read_the_table(monkeypatch):
    monkeypatch.setenv("CAROUSEL_DATA_ACCESS_KEY_ID", "reader")
    storage, access = placed(endpoint_url=URL)
    assert access == AccessConfig(endpoint_url=URL)
    assert storage.endpoint_url == URL


def test_a_bucket_of_the_embedded_server_can_be_named():
    assert placed(repository="s3://models/team")[0].bucket == "models"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"repository_endpoint_url": OTHER}, "--endpoint-url"),
        ({"table": "lake.waves", "endpoint_url": URL}, "--repository"),
        ({"endpoint_url": URL, "repository": "models/team"}, "s3://bucket/key"),
        ({"endpoint_url": "localhost:9000"}, "http://host:port.*--endpoint-url"),
        ({"endpoint_url": "https://me:secret@host"}, "holds a password"),
        ({"endpoint_url": URL, "repository_endpoint_url": "ftp://host"}, "--repository-endpoint-url"),
        ({"endpoint_url": URL, "repository": "s3://ab/team"}, "--repository"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, says):
    with pytest.raises(UserError, match=says):
        placed(**options)


@pytest.mark.parametrize(
    ("options", "kind", "uri", "format_"),
    [
        ({}, "delta", "s3://lake/carousel/predictions/r", "delta"),
        ({}, "iceberg", "s3://lake/carousel/predictions/r", "iceberg"),
        ({"endpoint_url": URL}, "delta", BESIDE, "delta"),
        ({"endpoint_url": URL}, "iceberg", BESIDE, "delta"),
        ({"endpoint_url": URL, "catalog": "https://catalog"}, "iceberg", BESIDE, "iceberg"),
        (
            {"endpoint_url": URL, "repository": "s3://mod/team"},
            "delta",
            "s3://mod/team/predictions/r",
            "delta",
        ),
    ],
)
def test_forecasts_go_beside_the_checkpoints(options, kind, uri, format_):
    storage, _ = placed(**options)
    found = predictions_of(storage, SimpleNamespace(format=kind), "r", Reasons())
    assert (found.uri, found.format) == (uri, format_)
