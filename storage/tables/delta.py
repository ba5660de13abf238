"""Delta tables: pinned versions are read from the log, appends are committed exactly once.

A transaction id is stored in the log (`txn`) together with the rows. It is looked up at the very version
that the commit replaces; the library's own retries are off, because they would commit after a version that
was not looked at. The version number of the `txn` is a number of this call: it tells, when an answer was
lost, whether the commit that landed was ours.

A data file is uploaded once, and stays behind unnamed if another replay wins (VACUUM removes it).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime

import deltalake
import pyarrow as pa
from deltalake import CommitProperties, PostCommitHookProperties
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, Transaction

from storage import uri as uris
from storage.object_access import keys
from storage.object_settings import settings_of
from storage.objects import Access, AccessDenied, Bucket, ObjectError, Unreachable
from storage.tables.columns import Column, schema_of
from storage.tables.delta_commit import milliseconds_now, refuse_writing, statistics
from storage.tables.delta_log import Log, State, history, list_log, replay
from storage.tables.delta_schema import columns_of
from storage.tables.delta_snapshot import snapshot_of
from storage.tables.errors import (
    CommitContention,
    NoSuchSnapshot,
    TableExists,
    UnsupportedTable,
)
from storage.tables.protocol import Appended, Snapshot, SnapshotInfo
from storage.tables.ranged import Meter
from storage.tables.retry import attempts
from storage.tables.rows import fit
from storage.tables.snapshots import as_of
from storage.tables.writing import ROW_GROUP_ROWS, Written, write

_ROW_GROUP_ROWS = "carousel.rowGroupRows"
_PLAIN = re.compile(r"[A-Za-z0-9._=/-]+")


class DeltaTable:
    """A `protocol.Table` over a Delta log."""

    format = "delta"

    def __init__(self, uri: str, access: Access) -> None:
        name, self._root = uris.parse(uri)
        self.uri = uris.build(name, self._root)
        self._bucket = Bucket(name, access)
        self._log()  # fails at once if there is no table

    @classmethod
    def create(
        cls,
        uri: str,
        access: Access,
        schema: pa.Schema,
        row_group_rows: int,
        properties: Mapping[str, str],
    ) -> DeltaTable:
        """Create an empty table.

        Raises:
            TableExists: one is there already.
            UnsupportedTable: the address has characters that not every engine's Delta library reads alike.
            Unreachable: the server did not answer.
        """
        name, root = uris.parse(uri)
        if not _PLAIN.fullmatch(root):
            raise UnsupportedTable(
                f"{uri}: a new Delta table's key may hold only ASCII letters, digits and . _ = - /"
            )
        if next(Bucket(name, access).list(f"{root}/_delta_log/"), None) is not None:
            raise TableExists(f"there is a Delta table at {uri} already; open it, or choose another address")
        try:
            deltalake.DeltaTable.create(
                uris.build(name, root),
                schema=deltalake.Schema.from_arrow(schema),
                mode="error",
                configuration={**properties, _ROW_GROUP_ROWS: str(row_group_rows)},
                storage_options=_options(access, uri),
                raise_if_key_not_exists=False,
            )
        except (CommitFailedError, DeltaError) as error:
            if next(Bucket(name, access).list(f"{root}/_delta_log/"), None) is None:
                raise
            raise TableExists(f"another writer has just created a Delta table at {uri}; open it") from error
        except OSError as error:
            raise _failed(f"create a Delta table at {uri}", error) from error
        return cls(uri, access)

    def __repr__(self) -> str:
        return f"<Delta table {self.uri}>"

    @property
    def schema(self) -> pa.Schema:
        """Logical names and types at the newest version."""
        state = self._newest()
        return schema_of(columns_of(state.metadata["schemaString"], state.configuration))

    @property
    def properties(self) -> Mapping[str, str]:
        """The table's configuration at the newest version."""
        return self._newest().configuration

    def snapshot(self, snapshot_id: str | None = None, *, at: datetime | None = None) -> Snapshot:
        """Pin a version: by number, as of a time, or the newest."""
        log, meter = self._log(), Meter()
        if at is not None:
            snapshot_id = as_of(self.uri, snapshot_id, at, self.snapshots()).id
        version = None if snapshot_id is None else self._number(snapshot_id, log)
        state = replay(self._bucket, log, self._root, log.checked(version), meter)
        return snapshot_of(state, self._bucket, self._root, self.uri, meter)

    def snapshots(self) -> list[SnapshotInfo]:
        """The versions that can still be read, oldest first."""
        log = self._log()
        return history(self._bucket, log, log.readable(), Meter())

    def append(self, rows: pa.Table, *, transaction: str) -> Appended:
        """Append `rows` exactly once for this transaction id."""
        if not transaction:
            raise ValueError("a transaction id must not be empty")
        self._log()  # says in plain words what is wrong with the server, where the library would retry
        ours = secrets.randbits(62)
        files: list[Written] | None = None
        failure: Exception | None = None
        for _ in attempts():
            table = self._open_for_writing()
            landed = table.transaction_version(transaction)
            if landed is not None:
                return Appended(snapshot_id=str(table.version()), added=landed == ours, rows=rows.num_rows)
            if failure is not None and not isinstance(failure, CommitFailedError):
                raise Unreachable(
                    f"the append to {self.uri} failed, nothing was added: {failure}"
                ) from failure
            fitted = fit(rows, _writable(table, self.uri), self.uri)
            if not rows.num_rows:
                return Appended(snapshot_id=str(table.version()), added=False, rows=0)
            if files is None:
                files = self._upload(fitted, table.metadata().configuration)
            try:
                _commit(table, files, transaction, ours)
            except (DeltaError, OSError) as error:
                failure = error  # it may have landed all the same: the next turn looks
                continue
            return Appended(snapshot_id=str(table.version() + 1), added=True, rows=rows.num_rows)
        raise CommitContention(
            f"the append to {self.uri} lost every race against other writers; nothing was added, try again"
        ) from failure

    def landed(self, transaction: str) -> bool:
        """Whether the rows of this transaction are in the table."""
        self._log()  # as in `append`
        return self._open_for_writing().transaction_version(transaction) is not None

    def _open_for_writing(self) -> deltalake.DeltaTable:
        try:
            return deltalake.DeltaTable(self.uri, storage_options=_options(self._bucket.access, self.uri))
        except DeltaError as error:
            raise UnsupportedTable(
                f"{self.uri} can be read but not written here: its Delta library refuses it ({error})"
            ) from error
        except OSError as error:
            raise _failed(f"open {self.uri} for writing", error) from error

    def _upload(self, rows: pa.Table, configuration: Mapping[str, str | None]) -> list[Written]:
        batch = secrets.token_hex(8)
        folder = f"{self._root}/" if self._root else ""
        return write(
            rows,
            lambda number: uris.build(self._bucket.name, f"{folder}part-{batch}-{number:05d}.zstd.parquet"),
            lambda name: Bucket(name, self._bucket.access),
            int(configuration.get(_ROW_GROUP_ROWS) or ROW_GROUP_ROWS),
        )

    def _newest(self) -> State:
        log = self._log()
        return replay(self._bucket, log, self._root, log.checked(None), Meter())

    def _log(self) -> Log:
        return list_log(self._bucket, self._root, self.uri)

    def _number(self, snapshot_id: str, log: Log) -> int:
        if not re.fullmatch(r"\d{1,19}", snapshot_id):
            readable = log.readable()
            raise NoSuchSnapshot(
                f"{self.uri} has no version {snapshot_id!r}; a Delta version is a number, here from "
                f"{readable[0]} to {readable[-1]}"
            )
        return int(snapshot_id)


def _writable(table: deltalake.DeltaTable, uri: str) -> tuple[Column, ...]:
    """The columns to write."""
    schema, metadata = table.schema().to_json(), table.metadata()
    features = table.protocol().writer_features or []
    refuse_writing(uri, schema, metadata.configuration, metadata.partition_columns, features)
    return columns_of(schema, metadata.configuration)


def _commit(table: deltalake.DeltaTable, files: list[Written], transaction: str, version: int) -> None:
    """Commit against exactly the version that `table` was loaded at."""
    now = milliseconds_now()
    actions: list[AddAction | RemoveAction] = [
        AddAction(
            path=written.location.rpartition("/")[2],
            size=written.size,
            partition_values={},
            modification_time=now,
            data_change=True,
            stats=statistics(written.rows, written.metadata),
        )
        for written in files
    ]
    table.create_write_transaction(
        actions,
        mode="append",
        schema=table.schema(),
        commit_properties=CommitProperties(
            max_commit_retries=0, app_transactions=[Transaction(transaction, version, now)]
        ),
        # Old log entries stay: a checkpoint may name a version that nothing else keeps readable.
        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
    )


def _options(access: Access, uri: str) -> dict[str, str]:
    """For the Delta library, which takes from the environment whatever is not said here.

    Keys are those of this moment: asked for anew by each call that writes.
    """
    now, found = keys(access, f"write {uri}"), settings_of(access)
    options = {
        "AWS_REGION": found.region,
        "AWS_ACCESS_KEY_ID": now.access_key or "",
        "AWS_SECRET_ACCESS_KEY": now.secret_key or "",
        "AWS_SESSION_TOKEN": now.session_token or "",
        # Conditional puts are what keeps commits apart.
        "AWS_S3_ALLOW_UNSAFE_RENAME": "false",
        "AWS_CONDITIONAL_PUT": "etag",
        "AWS_S3_EXPRESS": "false",
        "AWS_SKIP_SIGNATURE": "false",
        "connect_timeout": f"{access.connect_timeout_s}s",
        "timeout": f"{access.read_timeout_s}s",
    }
    if access.encryption_at_rest is not None:
        options["AWS_SERVER_SIDE_ENCRYPTION"] = access.encryption_at_rest
    if access.kms_key_id is not None:
        options["AWS_SSE_KMS_KEY_ID"] = access.kms_key_id
    if found.endpoint_url is not None:
        options["AWS_ENDPOINT_URL"] = options["AWS_ENDPOINT_URL_S3"] = found.endpoint_url
        options["AWS_ALLOW_HTTP"] = str(found.endpoint_url.startswith("http://")).lower()
        options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "false"
    return options


def _failed(doing: str, error: OSError) -> ObjectError:
    """What the Delta library's words mean: it tells a refusal and silence alike as one kind of error."""
    if any(word in str(error) for word in ("AccessDenied", "Forbidden", "403", "ExpiredToken")):
        return AccessDenied(f"could not {doing}: these keys do not allow it, or have expired: {_line(error)}")
    if any(word in str(error) for word in ("AuthorizationHeaderMalformed", "PermanentRedirect")):
        return AccessDenied(
            f"could not {doing}: the bucket is in another region; set its region (AWS_REGION, or the config)"
        )
    return Unreachable(f"could not {doing}: {_line(error)}")


def _line(error: OSError) -> str:
    """Its first line, without the server's whole answer."""
    return str(error).partition("\n")[0][:300]
