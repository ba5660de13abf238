"""Find Iceberg tables: in a catalog, by a metadata file, or by where they lie."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from functools import partial

import pyarrow as pa
from pyiceberg import exceptions as theirs
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import StaticTable, Table
from sqlalchemy.exc import IntegrityError

from storage import uri as uris
from storage.objects import Access, Bucket, NotFound
from storage.tables.errors import TableExists, TableMissing, UnsupportedTable
from storage.tables.iceberg import ROW_GROUP_PROPERTY, IcebergTable
from storage.tables.iceberg_catalog import NoCatalog, connect, translated
from storage.tables.iceberg_io import ACCESS, BucketIO
from storage.tables.iceberg_names import ADDRESS, Identifier, identifier_of, is_address
from storage.tables.iceberg_schema import iceberg_schema
from storage.tables.lake import CatalogSettings, Lake
from storage.tables.retry import attempts

_METADATA = re.compile(r"v?(\d+)(?:-[^/]*)?\.(?:gz\.)?metadata\.json(?:\.gz)?")
_CREATIONS = 6


def create(
    lake: Lake, uri: str, schema: pa.Schema, row_group_rows: int, properties: Mapping[str, str]
) -> IcebergTable:
    """Create an empty table in the catalog.

    Raises:
        TableExists: one is there already.
        NoCatalog: the lake has none.
    """
    settings = _settings(lake, uri)
    catalog, identifier = connect(settings, lake.access), identifier_of(uri, settings)
    with translated(uri):
        if catalog.table_exists(identifier):
            raise TableExists(f"{uri} is a table of the catalog already; open it, or choose another name")
        _create_namespace(catalog, identifier[:-1])
        properties = {
            **properties,
            ROW_GROUP_PROPERTY: str(row_group_rows),
            "write.parquet.compression-codec": "zstd",
        }
        if is_address(uri):
            properties[ADDRESS] = uris.build(*uris.parse(uri))
        try:
            location = uri if is_address(uri) and not settings.is_rest else None
            _settled(
                lambda: catalog.create_table(
                    identifier, iceberg_schema(schema), location=location, properties=properties
                )
            )
        except theirs.TableAlreadyExistsError as error:
            raise TableExists(f"another writer has just created {uri}; open it") from error
    return in_catalog(lake, uri)


def _create_namespace(catalog: Catalog, namespace: Identifier) -> None:
    # A database says "integrity" when another writer creates it at the same moment.
    with contextlib.suppress(theirs.NamespaceAlreadyExistsError, IntegrityError):
        _settled(lambda: catalog.create_namespace(namespace))


def _settled(create: Callable[[], object]) -> None:
    """Create something, again if need be: the embedded catalog fails where two create it at once."""
    for attempt in attempts(_CREATIONS):
        try:
            create()
        except theirs.ServerError:
            if attempt == _CREATIONS - 1:
                raise
        else:
            return


def in_catalog(lake: Lake, uri: str) -> IcebergTable:
    """Open a table of the catalog.

    Raises:
        TableMissing: the catalog has none of that name.
        NoCatalog: the lake has none.
    """
    settings = _settings(lake, uri)
    return IcebergTable(
        uri, lake.access, partial(_load, settings, lake.access, uri, identifier_of(uri, settings))
    )


def by_metadata(lake: Lake, uri: str) -> IcebergTable:
    """Open a table by one `….metadata.json`, to read only."""
    reason = "it was opened by its metadata file; open it through its catalog to append"
    load = partial(static_table, BucketIO({ACCESS: lake.access}), uri)
    return IcebergTable(uri, lake.access, load, read_only=reason)


def by_location(lake: Lake, uri: str) -> IcebergTable:
    """Open a table by where it lies, to read only: by its metadata file with the highest number.

    A writer that died between writing its metadata and committing them is taken for one that committed.

    Raises:
        TableMissing: there are no metadata.
        UnsupportedTable: two files have the highest number, so that only the catalog knows which one counts.
    """
    reason = "it was opened by its location; open it through its catalog to append"

    def load() -> Table:
        bucket, root = uris.parse(uri)
        newest = newest_metadata(Bucket(bucket, lake.access), root)
        return static_table(BucketIO({ACCESS: lake.access}), newest)

    return IcebergTable(uri, lake.access, load, read_only=reason)


def _settings(lake: Lake, uri: str) -> CatalogSettings:
    if lake.catalog is None:
        raise NoCatalog(f"{uri} needs an Iceberg catalog, and none is configured")
    return lake.catalog


def _load(settings: CatalogSettings, access: Access, uri: str, identifier: Identifier) -> Table:
    catalog = connect(settings, access)
    with translated(f"{uri} ({'.'.join(identifier)} of the warehouse {settings.warehouse!r})"):
        table = catalog.load_table(identifier)
    made_as = table.metadata.properties.get(ADDRESS)
    if is_address(uri) and made_as is not None:
        own = uris.build(*uris.parse(uri))
        if own not in (made_as, table.metadata.location):
            raise TableExists(
                f"{uri} would be {'.'.join(identifier)} in the catalog, which is the table created as "
                f"{made_as}; choose another address"
            )
    return table


def static_table(file_io: FileIO, location: str) -> Table:
    """The table of one metadata file.

    Raises:
        TableMissing: there is no such file.
        UnsupportedTable: it cannot be read here.
    """
    try:
        with translated(location):
            metadata = FromInputFile.table_metadata(file_io.new_input(location))
    except NotFound as error:
        raise TableMissing(f"there is no Iceberg metadata file at {location}; check the address") from error
    except (ValueError, TypeError) as error:
        raise UnsupportedTable(f"{location}: its metadata cannot be read here ({error})") from error
    return StaticTable(
        identifier=("static", location),
        metadata=metadata,
        metadata_location=location,
        io=file_io,
        catalog=NoopCatalog("static"),
    )


def newest_metadata(bucket: Bucket, root: str) -> str:
    """Where the metadata file with the highest number is, of the table at the key `root`.

    Raises:
        TableMissing, UnsupportedTable: as `by_location`.
    """
    folder, uri = f"{root}/metadata/", bucket.uri(root)
    found: dict[int, list[str]] = {}
    for info in bucket.list(folder):
        if match := _METADATA.fullmatch(info.key[len(folder) :]):
            found.setdefault(int(match[1]), []).append(info.key)
    if not found:
        raise TableMissing(f"there is no Iceberg table at {uri}: no metadata under {folder}")
    newest = found[max(found)]
    if len(newest) > 1:
        raise UnsupportedTable(
            f"{uri} has {len(newest)} metadata files of the number {max(found)}; only its catalog knows "
            f"which one counts: open it by name, or give one of {', '.join(newest)}"
        )
    return bucket.uri(newest[0])
