"""The bucket and the table: the way there, the keys, what may be done, and whether writing there is safe."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from pipelines.doctor.case import Case
from pipelines.doctor.endpoint import visit
from pipelines.doctor.finding import Finding, Outcome, mistake, ok, problem, skipped, warning
from pipelines.doctor.table import table
from pipelines.surroundings.connect import Connection, connect
from pipelines.surroundings.servers import borrow
from storage.errors import UserError
from storage.local import LocalServer
from storage.object_settings import keys_of, settings_of
from storage.objects import Access, Bucket, ObjectError

if TYPE_CHECKING:
    from pipelines.config.storage import StorageConfig

_RIGHTS = "let these keys list, read and write there, or use others; deleting is not needed"
_SOURCES = {
    "explicit": "the embedded server's own",
    "env": "AWS_ACCESS_KEY_ID in the environment",
    "shared-credentials-file": "the shared credentials file of AWS",
    "config-file": "the AWS config file",
    "iam-role": "this machine's role (instance metadata)",
    "container-role": "this container's role",
    "assume-role": "a role that the profile assumes",
    "assume-role-with-web-identity": "a web identity's role",
    "sso": "AWS single sign-on",
}


def check(case: Case) -> Iterator[Finding]:
    """From the way to the bucket to what may be done there, then the run's table."""
    read = case.settings()
    if read.storage is None:
        yield skipped("bucket", "the settings are wrong, so nobody knows where it is")
        return
    with ExitStack() as stack:
        root = case.root
        if read.storage.endpoint_url is None:
            try:
                root = _with_server(case.root, stack)
            except UserError as error:
                yield mistake("S3 server", error, f"look at {case.root / 's3' / 'server.log'}")
                return
            yield ok("S3 server", "the embedded one starts, and answers")
        connection = None
        for found in _reached(read.storage, root):
            if isinstance(found, Connection):
                connection = found
            else:
                yield found
        if connection is None:
            yield skipped("table", "the bucket cannot be reached")
            return
        yield from _allowed(connection)
        if read.run is None:
            yield skipped("table", f"no {case.config} here that names one")
        else:
            yield from table(read.run, _hurried(connection.reading(read.run.table.access)))


def _with_server(root: Path, stack: ExitStack) -> Path:
    """The root of an embedded server that runs while the stack lasts: nothing is made where nothing was."""
    if root.exists():
        stack.enter_context(borrow(LocalServer, root))
        return root
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carousel-doctor-")))
    server = LocalServer.start(scratch / "s3", die_with_parent=True)
    stack.callback(server.stop)
    return scratch


def _reached(storage: "StorageConfig", root: Path) -> Iterator[Finding | Connection]:
    """The way, the clock, the keys and the bucket; ends with the connection if they are fine."""
    try:
        url = None if storage.endpoint_url == "aws" else storage.endpoint_url
        if storage.endpoint_url is not None:
            access = Access(endpoint_url=url, region=storage.region, profile=storage.profile)
            way = list(visit(access))
            yield from way
            yield _keys(access)
            if any(it.outcome is Outcome.problem for it in way):
                yield skipped("bucket", "its server does not answer")
                return
        connection = _hurried(connect(storage, root))
    except UserError as error:
        yield mistake("bucket", error, f"correct the section `storage` of the settings, or {_RIGHTS}")
        return
    except BotoCoreError as error:
        yield problem("bucket", str(error), "mend the AWS settings of this machine (aws configure)")
        return
    if storage.endpoint_url is None:
        yield from visit(connection.bucket.access)
    yield connection


def _keys(access: Access) -> Finding:
    """Who we are there, never the keys."""
    try:
        source = keys_of(access).source
        region = settings_of(access).region
    except (BotoCoreError, UserError) as error:
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with storage.profile"
        return problem("credentials", str(error), remedy)
    whose = f", profile {access.profile!r}" if access.profile else ""
    seen = f"from {_SOURCES.get(source, source)}{whose}; region {region}"
    return ok("credentials", seen, source=source, profile=access.profile, region=region)


def _hurried(connection: Connection) -> Connection:
    """The same with less patience: a doctor has others to see."""

    def hurried(access: Access) -> Access:
        return replace(access, connect_timeout_s=3, read_timeout_s=4, patience_s=1)

    lake = replace(connection.lake, access=hurried(connection.lake.access))
    data = replace(connection.data, access=hurried(connection.data.access))
    bucket = Bucket(connection.bucket.name, hurried(connection.bucket.access))
    return replace(connection, bucket=bucket, lake=lake, data=data)


def _allowed(connection: Connection) -> Iterator[Finding]:
    """Read, write, and the settings that lose or keep too much."""
    bucket, place = connection.bucket, f"s3://{connection.bucket.name}/{connection.prefix}"
    try:
        known = bucket.exists() and any(True for _ in bucket.list(f"{connection.prefix}/repository.json"))
    except UserError as error:
        yield mistake("read", error, _RIGHTS)
        return
    state = "a repository of checkpoints is there" if known else "no checkpoints yet"
    yield ok("read", f"{place}: {state}", repository=known)
    try:
        bucket.probe(connection.prefix)
    except UserError as error:
        yield mistake("write", error, _RIGHTS)
    except ObjectError as error:
        yield problem("write", str(error), _RIGHTS)
    else:
        yield ok("write", "conditional puts, reads and lists keep what writers rely on (tried, removed)")
    cautions = list(bucket.cautions())
    for caution in cautions:
        seen, _, remedy = caution.replace(": ", "; ", 1).partition("; ")
        yield warning("bucket settings", seen, remedy)
    if not cautions:
        yield ok("bucket settings", "no versioning, and no lifecycle rule that deletes by age, was seen")
