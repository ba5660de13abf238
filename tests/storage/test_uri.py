"""One way to write the place of an object."""

import pytest

from storage import uri
from storage.uri import BadUri


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://lake/tables/flights", ("lake", "tables/flights")),
        ("s3://lake/tables/flights/", ("lake", "tables/flights")),
        ("s3a://lake/k", ("lake", "k")),
        ("s3://lake", ("lake", "")),
        ("s3://lake/", ("lake", "")),
        ("s3://lake/run=1/a b/ü.parquet", ("lake", "run=1/a b/ü.parquet")),
    ],
)
def test_a_uri_names_bucket_and_key(text: str, parts: tuple[str, str]) -> None:
    assert uri.parse(text) == parts
    assert uri.parse(uri.build(*parts)) == parts


@pytest.mark.parametrize(
    "text",
    ["", "lake/k", "/lake/k", "http://lake/k", "s3:/lake", "s3://", "s3:///k", "s3://b/a//c", "s3://b/../c"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadUri, match="s3://bucket"):
        uri.parse(text)
