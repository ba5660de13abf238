"""What the SDK's client sends for us: bodies are signed where somebody on the way could bend them."""

import io

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from storage.object_access import Access, client


class _Body(io.BytesIO):
    def stream(self):
        yield b""


@pytest.mark.parametrize(
    ("endpoint", "signed"),
    [
        ("http://127.0.0.1:9000", False),
        ("http://localhost:9000", False),
        ("https://bucket.example:9000", False),
        ("http://bucket.example:9000", True),
    ],
)
@pytest.mark.parametrize("retried", [True, False])
def test_bodies_are_signed_only_where_they_could_be_bent_on_the_way(endpoint, signed, retried):
    s3 = client(Access(endpoint_url=endpoint, access_key="key", secret_key="secret"), retried=retried)
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, _Body())

    s3.meta.events.register("before-send.s3", answer)
    try:
        s3.put_object(Bucket="bucket", Key="key", Body=b"body", ChecksumCRC32="AAAAAA==")
    finally:
        s3.meta.events.unregister("before-send.s3", answer)
    (request,) = sent
    digest = request.headers["x-amz-content-sha256"]
    assert (digest != b"UNSIGNED-PAYLOAD") == signed, digest
    names = request.headers["Authorization"]
    assert b"x-amz-checksum-crc32" in names, "the checksum of a body that is not signed must be"
