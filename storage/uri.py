"""Names of objects as one string: `s3://bucket/key`."""

from storage.errors import UserError


class BadUri(UserError):
    """The text is no `s3://bucket/key`."""


def parse(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/some/key` into `("bucket", "some/key")`; the key of `s3://bucket` is empty.

    A slash at the end of the key is dropped, so that `s3://b/t` and `s3://b/t/` name one table.

    Raises:
        BadUri: another scheme, no bucket, or an empty part in the key.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in ("s3", "s3a"):
        raise BadUri(f"{uri!r} does not name a place in a bucket; write s3://bucket/key")
    bucket, _, key = rest.partition("/")
    key = key.removesuffix("/")
    if not bucket:
        raise BadUri(f"{uri!r} names no bucket; write s3://bucket/key")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        raise BadUri(f"{uri!r} has an empty or dotted part in its key; write s3://bucket/some/key")
    return bucket, key


def build(bucket: str, key: str) -> str:
    """The inverse of `parse`."""
    return f"s3://{bucket}/{key}" if key else f"s3://{bucket}"
