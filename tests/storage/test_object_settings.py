"""Who we are to a server, and where it is, as the usual AWS settings of a machine say it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.utils import parse_timestamp

from storage import object_access, object_settings
from storage.errors import UserError
from storage.local import LocalServer
from storage.object_access import Access, keys, place
from storage.object_settings import settings_of
from storage.objects import AccessDenied, BadSettings, Bucket
from storage.tables import Lake, create_table, open_table

from .fake_s3 import FakeS3, serve
from .tables.rows import SENSORS, count, sensors

WriteAws = Callable[..., None]


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    object_access.renew()
    yield
    object_access.renew()


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteAws:
    """Writes the shared files of this test."""
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))

    def write(*, in_config: str = "", in_credentials: str = "") -> None:
        config.write_text(in_config)
        credentials.write_text(in_credentials)

    write()
    return write


@pytest.fixture
def fake() -> Iterator[FakeS3]:
    with serve() as running:
        running.objects["b/k"] = b"x"
        yield running


def pair(access_key: str | None, secret_key: str | None) -> str:
    return f"aws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"


def impatient(**changes: str) -> Access:
    return Access(patience_s=1, **changes)  # type: ignore[arg-type]  # all changes are text


def test_a_named_profile_gives_keys_endpoint_and_region_whatever_the_environment_says(
    s3_server: LocalServer, bucket: Bucket, aws: WriteAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = s3_server.access
    aws(
        in_config=f"[profile lab]\nendpoint_url = {known.endpoint_url}\nregion = eu-south-9\n",
        in_credentials=f"[lab]\n{pair(known.access_key, known.secret_key)}",
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "someone-else")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "mars-1")
    access = impatient(profile="lab")
    Bucket(bucket.name, access).put("k", b"x")
    table = create_table(Lake(access=access), f"s3://{bucket.name}/t", SENSORS)
    assert table.append(sensors(10), transaction="t").added
    assert count(open_table(Lake(access=access), table.uri)) == 10
    assert settings_of(access).region == "eu-south-9"
    assert keys(access, "look").source == "shared-credentials-file"


def test_the_environment_gives_keys_and_endpoint_where_nothing_is_named(
    s3_server: LocalServer, bucket: Bucket, aws: WriteAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = s3_server.access
    assert known.endpoint_url
    assert known.access_key
    assert known.secret_key
    aws(in_config="[default]\nendpoint_url = http://127.0.0.1:9\nregion = eu-south-9\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", known.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", known.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", known.secret_key)
    access = impatient()
    table = create_table(Lake(access=access), f"s3://{bucket.name}/t", SENSORS)
    assert table.append(sensors(10), transaction="t").added
    assert place(access) == known.endpoint_url
    assert settings_of(access).region == "eu-south-9"


def test_the_service_section_of_a_profile_goes_before_its_general_endpoint(aws: WriteAws) -> None:
    aws(
        in_config="[profile lab]\nservices = here\nendpoint_url = http://general:1\n"
        "[services here]\ns3 =\n  endpoint_url = http://special:2\n"
    )
    assert place(Access(profile="lab")) == "http://special:2"


def test_configured_endpoints_can_be_ignored(aws: WriteAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert place(Access(region="eu-west-3")) == "AWS (eu-west-3)"


def test_an_endpoint_of_the_environment_with_a_password_is_refused_without_repeating_it(
    aws: WriteAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:very-secret@host")
    with pytest.raises(UserError, match="AWS_ENDPOINT_URL_S3 must not hold credentials") as caught:
        Bucket("bucket", Access()).get("k")
    assert "very-secret" not in str(caught.value)


def test_keys_that_expire_are_renewed_by_the_chain(aws: WriteAws, tmp_path: Path) -> None:
    """A program gives keys, each time other ones, which last 5 minutes: too short to be kept."""
    counter, program = tmp_path / "calls", tmp_path / "program.py"
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    answer = {"Version": 1, "SecretAccessKey": "very-secret", "SessionToken": "token", "Expiration": until}
    program.write_text(
        "import json, pathlib\n"
        f"calls = pathlib.Path({str(counter)!r})\n"
        "calls.open('a').write('.')\n"
        f"print(json.dumps({{**{answer!r}, 'AccessKeyId': f'AK{{len(calls.read_text())}}'}}))\n"
    )
    aws(in_config=f"[profile lab]\ncredential_process = {sys.executable} {program}\n")
    first, second = keys(Access(profile="lab"), "look"), keys(Access(profile="lab"), "look")
    assert first.access_key != second.access_key
    assert (second.source, second.session_token) == ("custom-process", "token")
    assert "very-secret" not in repr(second)
    assert "token" not in repr(second)


@pytest.mark.parametrize("conditional", [False, True])
def test_keys_that_were_replaced_in_their_file_are_found_when_the_old_ones_expire(
    fake: FakeS3, aws: WriteAws, conditional: bool
) -> None:
    fake.refusals["OLD"] = (400, "ExpiredToken", "")
    access = Access(endpoint_url=fake.url, profile="lab", patience_s=1)
    aws(in_credentials=f"[lab]\n{pair('FIRST', 'very-secret')}")
    bucket = Bucket("b", access)
    assert bucket.get("k").data == b"x"
    fake.refusals["FIRST"] = (400, "ExpiredToken", "")
    aws(in_credentials=f"[lab]\n{pair('SECOND', 'very-secret')}")
    if conditional:
        bucket.put_if_absent("new", b"y")
        assert fake.objects["b/new"] == b"y"
    else:
        assert bucket.get("k").data == b"x"


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_an_expired_token_that_nobody_replaced_is_told_once_without_secrets(
    fake: FakeS3, aws: WriteAws, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    fake.refusals["AKOLD"] = (400, code, "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKOLD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "very-secret-too")
    with pytest.raises(AccessDenied, match="the session token") as caught:
        Bucket("b", impatient(endpoint_url=fake.url)).get("k")
    assert "very-secret" not in str(caught.value)
    assert fake.requests["GET"] <= 2


@pytest.mark.parametrize(
    ("status", "code", "more", "message"),
    [
        (400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>", "in the region eu-west-3"),
        (301, "PermanentRedirect", "", "another region or at another endpoint"),
        (301, "Moved", "", "at another address"),
        (403, "AccessDenied", "", "these keys do not allow it"),
        (403, "InvalidAccessKeyId", "", "does not know this access key"),
    ],
)
def test_what_a_server_refuses_is_told_in_plain_words(
    fake: FakeS3, status: int, code: str, more: str, message: str
) -> None:
    access = fake.access()
    fake.refusals["AKFAKE"] = (status, code, more)
    for ask in (Bucket("b", access).get, Bucket("b", access).head):
        with pytest.raises(UserError, match=message) as caught:
            ask("k")
        assert "very-secret" not in str(caught.value)


def test_a_profile_that_is_not_there_is_told_by_name(aws: WriteAws) -> None:
    with pytest.raises(BadSettings, match=r"profile \(nobody\) could not be found.*~/\.aws"):
        Bucket("bucket", Access(profile="nobody")).get("k")
    with pytest.raises(BadSettings, match="nobody"):
        keys(Access(profile="nobody"), "look")


def test_broken_aws_settings_do_not_keep_the_embedded_server_from_working(
    bucket: Bucket, aws: WriteAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws(in_config="this is no such file")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_REGION", "mars-1")
    bucket.put("k", b"x")
    assert bucket.get("k").data == b"x"


def test_a_shared_file_that_is_none_is_told_by_its_path(aws: WriteAws) -> None:
    aws(in_config="this is no such file")
    with pytest.raises(BadSettings, match=r"parse config file.*config"):
        Bucket("bucket", Access(endpoint_url="http://127.0.0.1:9")).get("k")


@pytest.mark.parametrize("where", ["environment", "file"])
def test_half_of_a_pair_of_keys_is_told(aws: WriteAws, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    else:
        aws(in_credentials="[default]\naws_access_key_id = AK\n")
    with pytest.raises(AccessDenied, match=r"half of a pair of keys.*(?i:aws_secret_access_key)"):
        Bucket("bucket", Access(endpoint_url="http://127.0.0.1:9")).get("k")


def test_without_any_keys_the_remedy_is_told(aws: WriteAws) -> None:
    with pytest.raises(AccessDenied, match=r"no credentials for AWS .*AWS_ACCESS_KEY_ID.*profile"):
        Bucket("bucket", Access()).get("k")


def test_a_login_that_has_expired_is_told_with_its_remedy(aws: WriteAws, tmp_path: Path) -> None:
    answer = json.dumps({"Version": 1})
    aws(in_config=f"[profile lab]\ncredential_process = echo '{answer}'\n")
    with pytest.raises(AccessDenied, match="aws sso login"):
        Bucket("bucket", Access(profile="lab")).get("k")


def test_a_session_token_needs_its_keys_and_does_not_show() -> None:
    with pytest.raises(UserError, match="session token"):
        Access(session_token="very-secret")
    shown = repr(Access(access_key="AK1", secret_key="very-secret", session_token="very-secret-too"))
    assert "very-secret" not in shown
    assert "AK1" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "2026-10-21T07:28:00.123Z",
        "2026-10-21T07:28:00Z",
        "2026-10-21T07:28:00+02:00",
        "1792567680",
        1792567680,
        "Wednesday, 21-Oct-26 07:28:00 GMT",
    ],
)
def test_times_are_read_as_botocore_reads_them(text: str | int) -> None:
    assert object_settings._time(text) == parse_timestamp(text)
    assert object_settings._time(text).tzinfo is not None
