"""Whether rows of files can go to a table that is there."""

import pyarrow as pa

from pipelines.sources.kinds import is_number
from storage.errors import UserError


def as_table(schema: pa.Schema, existing: pa.Schema | None) -> pa.Schema:
    """The types of the table that is there, if the files' values can become that.

    Raises:
        UserError: the columns are not the same, or one is of another kind.
    """
    if existing is None:
        return schema
    missing, more = set(existing.names) - set(schema.names), set(schema.names) - set(existing.names)
    problems = [f"the table has no column {name!r}" for name in sorted(more)]
    problems += [f"the files have no column {name!r}" for name in sorted(missing)]
    for field in schema:
        if field.name in existing.names and not _may_become(field.type, existing.field(field.name).type):
            problems.append(
                f"{field.name!r} is {existing.field(field.name).type} there and {field.type} in the files"
            )
    if problems:
        raise UserError(
            f"the files do not fit the table that is there: {'; '.join(problems)}; mend the files, or "
            "choose another --table"
        )
    return pa.schema([existing.field(it.name).with_nullable(it.nullable) for it in schema])


def _may_become(source: pa.DataType, target: pa.DataType) -> bool:
    types = pa.types
    if source == target:
        return True
    if is_number(source):
        return bool(
            types.is_floating(target)
            or (types.is_integer(source) and types.is_integer(target))
            or types.is_string(target)
        )
    times = (types.is_timestamp, types.is_date)
    return any(it(source) for it in times) and any(it(target) for it in times)
