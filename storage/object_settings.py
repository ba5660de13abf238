"""What this machine's AWS settings say of a server: its address, its region, and keys that may expire.

Botocore resolves all of it, once per `Access` and process: environment variables, the shared files with their
profiles, and its chain of roles (assumed, web identity, SSO, container, instance). Other libraries get the
outcome as plain values, so that none of them reads the settings in a way of its own.

Precedence: what `Access` says; the profile that it names; the environment; the default profile.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.loaders
import botocore.session
from botocore.exceptions import NoCredentialsError
from botocore.utils import parse_timestamp

from storage.errors import UserError

if TYPE_CHECKING:
    from storage.object_access import Access

_REGION = "us-east-1"  # what servers that know no regions expect in a signature


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys as they are right now: temporary ones are good for some minutes at least."""

    access_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    session_token: str | None = field(repr=False)
    source: str
    """How botocore calls the place that they come from: `env`, `shared-credentials-file`, `assume-role`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One server as an `Access` and this machine's settings name it."""

    session: botocore.session.Session
    """Makes clients and renews keys; not to be used by two threads at the same time."""
    endpoint_url: str | None
    """None: AWS itself."""
    region: str

    @property
    def place(self) -> str:
        """The server, for messages."""
        return self.endpoint_url or f"AWS ({self.region})"


lock = threading.Lock()
"""Held while clients are made: botocore's sessions are not for several threads at once."""


def settings_of(access: Access) -> Settings:
    """Resolve everything but the keys.

    Raises:
        botocore.exceptions.BotoCoreError: no such profile, or a shared file that cannot be parsed.
        UserError: an address that is none.
    """
    return _settings(access)


def keys_of(access: Access) -> Keys:
    """Keys for a library that takes plain values; asked for anew each time, as they expire.

    Raises:
        botocore.exceptions.BotoCoreError: there are none, or half of a pair, or they cannot be renewed.
    """
    if access.access_key is not None and access.secret_key is not None:
        return Keys(access.access_key, access.secret_key, access.session_token, "explicit")
    with lock:
        found = _settings(access).session.get_credentials()
        if found is None:
            raise NoCredentialsError
        now = found.get_frozen_credentials()
    return Keys(now.access_key, now.secret_key, now.token, str(found.method))


def forget() -> None:
    """Read the settings anew the next time: somebody may have put fresh keys into a shared file."""
    _settings.cache_clear()


def check_endpoint(url: str, name: str) -> None:
    """Refuse what is no address of a server, without repeating it: it may hold a password."""
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise UserError(f"{name} must look like http://host:port or https://host")
    if parts.username is not None or parts.password is not None:
        raise UserError(f"{name} must not hold credentials; take them out, keys are given apart from it")


@functools.lru_cache(maxsize=32)
def _settings(access: Access) -> Settings:
    session = _session(access)
    session.register_component("data_loader", _loader())
    parsers: Any = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_time)
    profile: Mapping[str, Any] = session.get_scoped_config()
    url = access.endpoint_url or _endpoint(session, profile, named=access.profile is not None)
    settings = (os.environ.get("AWS_REGION"), os.environ.get("AWS_DEFAULT_REGION"))
    regions = [access.region, *_ordered(profile.get("region"), settings, named=access.profile is not None)]
    return Settings(session, url, next((it for it in regions if it), _REGION))


def _time(text: Any) -> datetime:
    """As botocore's own, which guesses at formats: longer than anything else that a list of keys takes."""
    if isinstance(text, str):
        try:
            if text.endswith(" GMT"):  # a header
                return parsedate_to_datetime(text)
            if text.endswith("Z") and "T" in text:  # XML
                return datetime.fromisoformat(text)
        except ValueError:
            pass
    known: datetime = parse_timestamp(text)
    return known


def _session(access: Access) -> botocore.session.Session:
    if access.access_key and access.endpoint_url and access.region and not access.profile:
        # Nothing is left to look up: a broken file or profile of this machine must not stand in the way.
        empty = {
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        return botocore.session.Session(session_vars={"profile": (None, None, None, None), **empty})
    return botocore.session.Session(profile=access.profile)


def _endpoint(session: botocore.session.Session, profile: Mapping[str, Any], *, named: bool) -> str | None:
    if str(session.get_config_variable("ignore_configured_endpoint_urls")).lower() == "true":
        return None
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    own = services.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")
    for url in _ordered(own, tuple(os.environ.get(name) for name in variables), named=named):
        if url:
            source = next(
                (name for name in variables if os.environ.get(name) == url), "the profile's endpoint_url"
            )
            check_endpoint(url, source)
            return url
    return None


def _ordered(
    profile: str | None, environment: tuple[str | None, ...], *, named: bool
) -> tuple[str | None, ...]:
    """A profile that `Access` names goes before the environment, any other one after it."""
    return (profile, *environment) if named else (*environment, profile)


@functools.cache
def _loader() -> botocore.loaders.Loader:
    """One for all sessions: reading the service's description takes 100 ms and 13 MB."""
    return botocore.loaders.create_loader()


def _start_anew() -> None:
    global lock
    lock = threading.Lock()
    _settings.cache_clear()


os.register_at_fork(after_in_child=_start_anew)
