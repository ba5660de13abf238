"""What can go wrong with a bucket, grouped by what the caller would do, and how S3's answers map to it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore import exceptions as sdk

from storage.errors import UserError


class ObjectError(Exception):
    """Root of everything that a bucket raises on purpose."""


class NotFound(ObjectError):
    """There is no such object."""


class Exists(ObjectError):
    """Put if absent: something is there already (perhaps our own earlier try)."""


class LostRace(ObjectError):
    """Put if match: the object has changed or is gone. Read it again."""


class TryAgain(ObjectError):
    """The server refused because of a concurrent request; nothing was written. Send it again."""


class OutcomeUnknown(ObjectError):
    """The request was sent, its answer was lost: it may or may not have happened. Read, then decide."""


class TooLong(ObjectError):
    """The object has more bytes than the caller allows; none of them was read."""


class Truncated(ObjectError):
    """Fewer bytes than asked for: the object is shorter or damaged."""


class AccessDenied(ObjectError, UserError):
    """Credentials are missing, wrong, or do not allow this."""


class BucketMissing(ObjectError, UserError):
    """There is no such bucket, or its name cannot be one."""


class Unreachable(ObjectError, UserError):
    """No server answers at the endpoint, or it keeps failing."""


class BadSettings(ObjectError, UserError):
    """What says where the server is, or who we are, is wrong: no such profile, another server's address."""


class UnsafeServer(ObjectError, UserError):
    """The server does not keep the promises that writing relies on."""


NEVER_SENT = (sdk.EndpointConnectionError, sdk.ConnectTimeoutError, sdk.ProxyConnectionError)
"""The connection did not come about, so the request cannot have had an effect."""
NO_ANSWER = (sdk.HTTPClientError, sdk.ConnectionError)
"""Anything between the request and its answer; with what is not in NEVER_SENT the outcome is unknown."""

_NOT_RENEWED = (
    sdk.CredentialRetrievalError,
    sdk.MetadataRetrievalError,
    sdk.TokenRetrievalError,
    sdk.NoAuthTokenError,
    sdk.SSOError,
    sdk.LoginError,
    sdk.RefreshWithMFAUnsupportedError,
)
"""The chain knows where keys are, and did not get them."""
_SETTINGS = (
    sdk.ProfileNotFound,
    sdk.ConfigParseError,
    sdk.ConfigNotFound,
    sdk.InvalidConfigError,
    sdk.InvalidRegionError,
    sdk.UnknownCredentialError,
)
_KEYS = ("AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetRoleCredentials", "CreateToken")
"""Calls that the chain makes for keys, to other servers than the bucket's."""
_DENIED = {
    "InvalidAccessKeyId": "the server does not know this access key",
    "SignatureDoesNotMatch": "the secret key is wrong for this access key",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "RequestTimeTooSkewed": "this machine's clock differs too much from the server's",
}
_ELSEWHERE = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_BUCKET = {
    "NoSuchBucket": "there is no such bucket; create it or check its name",
    "InvalidBucketName": "that cannot be a bucket's name; take 3 to 63 lower-case letters, digits, hyphens",
}


def translate(error: sdk.BotoCoreError | sdk.ClientError, where: str, endpoint: str) -> ObjectError | None:
    """The error to raise for what the SDK raised; None if it is not about the outside world.

    Args:
        error: raised by the SDK.
        where: what was asked of which object, as "read s3://bucket/key".
        endpoint: address of the server, for messages.
    """
    if isinstance(error, sdk.ClientError):
        return _from_answer(error, where, endpoint)
    if isinstance(error, sdk.NoCredentialsError):
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of the shared AWS files"
        return AccessDenied(f"could not {where}: no credentials for {endpoint}; {remedy}")
    if isinstance(error, sdk.PartialCredentialsError):
        missing = f"{error.kwargs['cred_var']} is missing ({error.kwargs['provider']})"
        return AccessDenied(f"could not {where}: half of a pair of keys: {missing}; give both, or neither")
    if isinstance(error, _NOT_RENEWED):
        remedy = "log in anew (`aws sso login`), or give other keys"
        return AccessDenied(f"could not {where}: no credentials for {endpoint}: {error}; {remedy}")
    if isinstance(error, _SETTINGS):
        remedy = "correct the profile's name, or the shared AWS files (`~/.aws/config`, `~/.aws/credentials`)"
        return BadSettings(f"could not {where}: {error}; {remedy}")
    if isinstance(error, NO_ANSWER):
        remedy = "is the server up, and the address right?"
        return Unreachable(f"could not {where}: {endpoint} does not answer ({_cause(error)}); {remedy}")
    return None


def passes(error: sdk.BotoCoreError | sdk.ClientError) -> bool:
    """Whether the same request may well succeed later: no answer, overload, a concurrent request."""
    if isinstance(error, sdk.ClientError):
        return is_trouble(error) or status_of(error) == 409
    return isinstance(error, NO_ANSWER) and not isinstance(error, sdk.SSLError)


def has_expired(error: sdk.BotoCoreError | sdk.ClientError) -> bool:
    """Whether keys that were good once are so no more; nothing was done with the request."""
    return isinstance(error, sdk.ClientError) and code_of(error) in ("ExpiredToken", "ExpiredTokenException")


def is_trouble(error: sdk.ClientError) -> bool:
    """Whether the server failed, or gave up on the request, rather than refused it."""
    status, code = status_of(error), code_of(error)
    return (status >= 500 and status != 501) or status == 429 or code in ("RequestTimeout", "SlowDown")


def status_of(error: sdk.ClientError) -> int:
    """The HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: sdk.ClientError) -> str:
    """S3's name for the error; for an answer to HEAD, which has no body, the status as text."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_answer(error: sdk.ClientError, where: str, endpoint: str) -> ObjectError:
    status, code = status_of(error), code_of(error)
    said = f"{endpoint} answers {status}" + ("" if code == str(status) else f" {code}")
    if error.operation_name in _KEYS:
        said = f"{error.operation_name} answers {status} {code}"
        remedy = "check the role and the keys that may assume it"
        return AccessDenied(f"could not {where}: no credentials for {endpoint}: {said}; {remedy}")
    if status in (301, 302, 307, 308) and code not in _ELSEWHERE:
        return BadSettings(f"could not {where}: the server is at another address{_location(error)}; {said}")
    if code in _ELSEWHERE:
        return AccessDenied(f"could not {where}: {_other_region(error)}; {said}")
    if code in _BUCKET:
        return BucketMissing(f"could not {where}: {_BUCKET[code]}; {said}")
    if status == 404:
        return NotFound(f"could not {where}: there is no such object; {said}")
    if status in (401, 403) or code in _DENIED:
        reason = _DENIED.get(code, "wrong keys, or these keys do not allow it")
        return AccessDenied(f"could not {where}: {reason}; {said}")
    if status == 409:
        return TryAgain(f"could not {where}: a concurrent request is in the way; {said}")
    if status == 416:
        return Truncated(f"could not {where}: the object ends before that; {said}")
    if status == 501:
        return UnsafeServer(f"could not {where}: the server does not know how; {said}; use another server")
    if is_trouble(error):
        return Unreachable(f"could not {where}: the server keeps failing; {said}")
    return ObjectError(f"could not {where}: {said}: {error.response.get('Error', {}).get('Message', '')}")


def _location(error: sdk.ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    parts = urlsplit(str(headers.get("location", "")))
    return f": set the endpoint to {parts.scheme}://{parts.hostname}" if parts.hostname else ""


def _other_region(error: sdk.ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = str(error.response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region", ""))
    if _REGION.fullmatch(region):
        return f"the bucket is in the region {region}; set the region to that (AWS_REGION, or the config)"
    return (
        "the bucket is in another region or at another endpoint; set its region (AWS_REGION, or the config)"
    )


def _cause(error: BaseException) -> str:
    """The operating system's word for it if there is one: "Connection refused" says more than class names."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        link = link.__cause__ or link.__context__
    return type(error).__name__
