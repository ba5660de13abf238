"""One schema for all files, decided before a row is written: the time column, and every column's type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines.sources.clock_text import INSTANT, NAIVE
from pipelines.sources.facts import FileFacts
from pipelines.sources.profile import Profile
from pipelines.sources.reading import Reading
from storage.errors import UserError

_EPOCH_DIGITS = (9, 10, 13, 16)


@dataclass(frozen=True, slots=True)
class Decided:
    """What the rows of all files become."""

    time: str
    entity: str | None
    schema: pa.Schema
    notes: tuple[str, ...]
    """What a person should know about how the files were understood."""


def decide(files: Sequence[FileFacts], reading: Reading, existing: pa.Schema | None) -> Decided:
    """Decide names and types.

    Args:
        files: at least one.
        reading: what was said about them.
        existing: the columns of the table, if there is one.

    Raises:
        UserError: files differ in their columns, or a column's values do not belong together.
    """
    names = _names(files)
    time = _time(files, names, reading)
    entity = reading.entity
    if entity is not None and entity not in names:
        raise UserError(f"there is no column {entity!r} for --entity; {files[0].name} has {', '.join(names)}")
    if entity == time:
        raise UserError(
            f"--time and --entity name the same column {time!r}; series need a column of their own"
        )
    notes: list[str] = []
    types = {name: _type(files, name, name == entity, reading, notes) for name in names if name != time}
    types[time] = pa.int64() if reading.time_unit == "ordinal" else INSTANT
    _check_infinities(files, types, reading)
    if entity is not None and not (pa.types.is_integer(types[entity]) or pa.types.is_string(types[entity])):
        raise UserError(
            f"column {entity!r} holds {types[entity]}, which cannot name series; --entity takes text or "
            "whole numbers"
        )
    schema = pa.schema([pa.field(it, types[it], it not in (time, entity)) for it in names])
    notes += _clock_notes(files, time, reading)
    return Decided(time, entity, _as_table(schema, existing, notes), tuple(notes))


def _names(files: Sequence[FileFacts]) -> list[str]:
    first = files[0]
    for other in files[1:]:
        missing = [it for it in first.columns if it not in other.columns]
        more = [it for it in other.columns if it not in first.columns]
        if missing or more:
            what = f"lacks {', '.join(missing)}" if missing else f"also has {', '.join(more)}"
            common = [it for it in first.columns if it in other.columns]
            raise UserError(
                f"the files differ in their columns: {other.name} {what}, compared with {first.name}; ingest "
                f"them apart, or take what both have: --columns {','.join(common)}"
            )
    return list(first.columns)


def _profiles(files: Sequence[FileFacts], name: str) -> list[Profile]:
    return [file.columns[name] for file in files]


def _time(files: Sequence[FileFacts], names: Sequence[str], reading: Reading) -> str:
    if reading.time is not None:
        if reading.time not in names:
            raise UserError(
                f"there is no column {reading.time!r} for --time; {files[0].name} has {', '.join(names)}"
            )
        _check_time(files, reading.time, reading)
        return reading.time
    found = [name for name in names if all(_holds_times(it) for it in _profiles(files, name))]
    if len(found) == 1:
        _check_time(files, found[0], reading)
        return found[0]
    if found:
        raise UserError(
            f"several columns hold times: {', '.join(found)}; say which one orders the rows: --time "
            f"{found[0]}"
        )
    mixed = [it for it in names if any(p.naive and p.zoned for p in _profiles(files, it))]
    if mixed:
        _check_time(files, mixed[0], reading)
    whole = [it for it in names if all(_looks_like_epoch(p) for p in _profiles(files, it))]
    hint = f" (perhaps --time {whole[0]} --time-unit s, if it counts seconds since 1970)" if whole else ""
    raise UserError(
        f"no column of {files[0].name} holds times that are understood; name it with --time, and how it is "
        f"written with --time-format or --time-unit{hint}; the columns are {', '.join(names)}"
    )


def _holds_times(profile: Profile) -> bool:
    if not profile.from_text:
        return bool(pa.types.is_timestamp(profile.type) or pa.types.is_date(profile.type))
    return profile.present > 0 and profile.naive + profile.zoned == profile.present


def _looks_like_epoch(profile: Profile) -> bool:
    if profile.from_text:
        return (
            profile.numbers == profile.present > 0
            and profile.whole
            and profile.bytes // profile.rows - 4 in _EPOCH_DIGITS
        )
    return bool(pa.types.is_int64(profile.type))


def _check_time(files: Sequence[FileFacts], time: str, reading: Reading) -> None:
    """Refuse what could be read in two ways, or in none."""
    for file in files:
        profile = file.columns[time]
        counts = profile.numbers == profile.present if profile.from_text else _is_number(profile.type)
        if not profile.present:
            raise UserError(f"the time column {time!r} of {file.name} has no values at all")
        if counts and reading.time_unit is None and reading.time_format is None:
            raise UserError(
                f"the time column {time!r} of {file.name} holds numbers; say what they count since 1970: "
                "--time-unit s, ms or us (or `ordinal`, if they are no times and only order the rows)"
            )
        if not counts and reading.time_unit is not None:
            raise UserError(
                f"the time column {time!r} of {file.name} holds no numbers, so --time-unit means "
                "nothing; leave it out"
            )
        if profile.naive and profile.zoned:
            naive, zoned = profile.first["naive"], profile.first["zoned"]
            raise UserError(
                f"the time column {time!r} mixes times with and without a zone: {file.where(naive.row)} has "
                f"{naive.text!r} ({profile.naive:,} such), {file.where(zoned.row)} has {zoned.text!r} "
                f"({profile.zoned:,}); write all of them one way"
            )
    kinds = {_zoned(file.columns[time]): file.name for file in files}
    if len({it for it in kinds if it is not None}) > 1 and reading.time_format is None:
        raise UserError(
            f"{kinds[True]} has times with a zone in {time!r}, {kinds[False]} without; ingest them "
            "apart, the "
            "latter with --timezone"
        )


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _zoned(profile: Profile) -> bool | None:
    if profile.from_text:
        return None if profile.naive == profile.zoned else profile.zoned > 0
    return profile.type.tz is not None if pa.types.is_timestamp(profile.type) else None


def _clock_notes(files: Sequence[FileFacts], time: str, reading: Reading) -> list[str]:
    offsets = sorted({it for profile in _profiles(files, time) for it in profile.offsets if it[0] in "+-"})
    if len(offsets) > 1:
        return [
            f"times of {time!r} have the offsets {', '.join(offsets)}; they are kept as the same moments "
            "in UTC"
        ]
    naive = any(_zoned(it) is False or pa.types.is_date(it.type) for it in _profiles(files, time))
    if reading.time_format is not None and "%z" not in reading.time_format.lower():
        naive = True
    if naive and reading.timezone is None:
        return [f"times of {time!r} have no zone; they are taken as UTC (--timezone says otherwise)"]
    if not naive and reading.timezone is not None and reading.time_unit != "ordinal":
        return [f"times of {time!r} say their zone themselves; --timezone {reading.timezone} changes nothing"]
    return []


def _type(
    files: Sequence[FileFacts], name: str, is_entity: bool, reading: Reading, notes: list[str]
) -> pa.DataType:
    text = [it for it in files if it.columns[name].from_text]
    kinds: dict[pa.DataType, str] = {}
    if text:
        kinds[_of_text(text, name, is_entity, reading, notes)] = text[0].name
    for file in files:
        if not file.columns[name].from_text:
            kinds.setdefault(plain(file.columns[name].type), file.name)
    kinds.pop(pa.null(), None)
    if not kinds:
        notes.append(f"column {name!r} has no values at all; it becomes a column of numbers")
        return pa.float64()
    if len(kinds) == 1:
        return next(iter(kinds))
    if all(_is_number(it) for it in kinds):
        return pa.int64() if all(pa.types.is_integer(it) for it in kinds) else pa.float64()
    told = ", ".join(f"{it} in {where}" for it, where in kinds.items())
    raise UserError(
        f"column {name!r} is {told}; write it as one type, or ingest the files into tables of their own"
    )


def plain(type_: pa.DataType) -> pa.DataType:
    """The type of those which every table format holds that keeps all values of `type_`."""
    types = pa.types
    if types.is_dictionary(type_):
        return plain(type_.value_type)
    if types.is_int8(type_) or types.is_int16(type_) or types.is_uint8(type_) or types.is_uint16(type_):
        return pa.int32()
    if types.is_integer(type_) and not types.is_int32(type_):
        return pa.int64()
    if types.is_float16(type_):
        return pa.float32()
    if types.is_timestamp(type_):
        return NAIVE if type_.tz is None else INSTANT
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    return pa.date32() if types.is_date(type_) else type_


def _of_text(
    files: Sequence[FileFacts], name: str, is_entity: bool, reading: Reading, notes: list[str]
) -> pa.DataType:
    profiles = _profiles(files, name)
    present = sum(it.present for it in profiles)
    numbers = sum(it.numbers for it in profiles)
    commas = sum(it.commas for it in profiles)
    if name in reading.text:
        return pa.string()
    if not present:
        return pa.null()
    if sum(it.booleans for it in profiles) == present:
        return pa.bool_()
    whole = all(it.whole for it in profiles)
    if numbers == present:
        if whole and any(it.leading_zero for it in profiles):
            notes.append(f"column {name!r} has whole numbers that begin with 0; it is kept as text")
            return pa.string()
        if is_entity and not whole:
            return pa.string()
        return pa.int64() if whole else pa.float64()
    if is_entity:
        return pa.string()
    if reading.decimal == "." and commas and 2 * (numbers + commas) >= present:
        file, example = _first(files, name, "word")
        raise UserError(
            f"column {name!r} has numbers with a decimal comma, first {example.text!r} in "
            f"{file.where(example.row)}; "
            "if a comma is its decimal mark, say so: --decimal ,"
        )
    if 2 * numbers >= present:
        file, example = _first(files, name, "word")
        raise UserError(
            f"column {name!r} holds text among numbers: {example.text!r} in {file.where(example.row)}, "
            f"{present - numbers:,} of {present:,} values; if it stands for a missing value: --null-values "
            f"{example.text}; if the column is text: --text {name}"
        )
    return pa.string()


def _first(files: Sequence[FileFacts], name: str, what: str):  # type: ignore[no-untyped-def]
    return next((it, it.columns[name].first[what]) for it in files if what in it.columns[name].first)


def _check_infinities(files: Sequence[FileFacts], types: Mapping[str, pa.DataType], reading: Reading) -> None:
    if reading.infinities == "null":
        return
    for name, type_ in types.items():
        count = sum(it.infinite for it in _profiles(files, name))
        if count and _is_number(type_):
            file, example = _first(files, name, "infinite")
            raise UserError(
                f"column {name!r} holds {count:,} infinities, first in {file.where(example.row)}; no "
                "scaling can undo "
                "them: mend them, or take them as missing with --infinities null"
            )


def _as_table(schema: pa.Schema, existing: pa.Schema | None, notes: list[str]) -> pa.Schema:
    """The types of the table that is there, if the files' values can become that."""
    if existing is None:
        return schema
    missing, more = set(existing.names) - set(schema.names), set(schema.names) - set(existing.names)
    problems = [f"the table has no column {name!r}" for name in sorted(more)]
    problems += [
        f"the files have no column {it.name!r}" for it in existing if it.name in missing and not it.nullable
    ]
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
    if missing:
        notes.append(f"the files have no {', '.join(sorted(missing))}; these columns stay null")
    return pa.schema([existing.field(it.name).with_nullable(it.nullable) for it in schema])


def _may_become(source: pa.DataType, target: pa.DataType) -> bool:
    types = pa.types
    if source == target:
        return True
    if _is_number(source):
        return bool(
            types.is_floating(target)
            or (types.is_integer(source) and types.is_integer(target))
            or types.is_string(target)
        )
    times = (types.is_timestamp, types.is_date)
    return any(it(source) for it in times) and any(it(target) for it in times)
