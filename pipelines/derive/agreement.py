"""Whether the settings that are there are what a command line asks for: options that were given count."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.config.model import RunConfig
from pipelines.config.storage import AccessConfig, StorageConfig
from pipelines.derive.places import LOCAL, Places, repository_prefix
from pipelines.derive.request import CannotDerive, Request
from storage import uri as uris

_EMBEDDED = "the embedded server"


def check_agreement(path: Path, known: RunConfig, wish: Request, places: Places) -> None:
    """Refuse options that the settings, which are there and which would be used, do not fulfil.

    Raises:
        CannotDerive: names them.
    """
    unlike = [
        f"{option} (there: {has})"
        for option, has in (*_other_wishes(known, wish), *_other_places(known, places))
    ]
    if unlike:
        raise CannotDerive(
            f"{path} is there and says otherwise than {', '.join(unlike)}; leave these options out, write "
            "anew with --force, or name another file with -c FILE"
        )


def _other_wishes(known: RunConfig, wish: Request) -> Iterator[tuple[str, object]]:
    told = {
        "--time": (wish.time, known.table.time),
        "--entity": (wish.entity, known.table.entity or ""),
        "--target": (wish.target, known.forecast.target),
        "--past": (wish.past, known.forecast.past),
        "--horizon": (wish.horizon, known.window.horizon),
        "--timezone": (wish.timezone, known.forecast.timezone),
    }
    yield from ((option, has) for option, (want, has) in told.items() if want not in (None, has))
    if wish.minutes is not None:  # they became steps once, on the machine that measured them
        yield "--minutes", f"{known.training.steps:,} steps"


def _other_places(known: RunConfig, places: Places) -> Iterator[tuple[str, object]]:
    storage, access = known.storage, known.table.access or known.storage
    catalog = access.catalog
    told = {
        "--endpoint-url": (places.endpoint_url, _server(access)),
        "--profile": (places.profile, access.profile),
        "--catalog": (places.catalog, catalog and catalog.uri),
        "--warehouse": (places.warehouse, catalog and catalog.warehouse),
        "--repository-endpoint-url": (places.repository_endpoint_url, _server(storage)),
        "--repository-profile": (places.repository_profile, storage.profile),
    }
    for option, (want, has) in told.items():
        if want is not None and want.rstrip("/") != (has or "").rstrip("/"):
            yield option, has or "none"
    if places.repository is not None and not _is_repository(storage, places.repository):
        at = uris.build(storage.bucket, storage.repository)
        yield "--repository", f"{at} of {_server(storage)}"


def _server(access: AccessConfig) -> str:
    """As the option names it; without an address, `storage` is embedded, and `table.access` is AWS."""
    return access.endpoint_url or (_EMBEDDED if isinstance(access, StorageConfig) else "aws")


def _is_repository(storage: StorageConfig, told: str) -> bool:
    if told == LOCAL:
        return storage.endpoint_url is None
    bucket, prefix = repository_prefix(told)
    return storage.bucket == bucket and storage.repository in (prefix, f"{prefix}/checkpoints")
