"""One schema for all files, decided before a row is written: the time column, and every column's type."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines.sources.clock_text import INSTANT
from pipelines.sources.existing import as_table
from pipelines.sources.facts import FileFacts, profiles_of
from pipelines.sources.kinds import is_number, plain
from pipelines.sources.profile import Example, Profile
from pipelines.sources.reading import Reading
from pipelines.sources.say import listed
from pipelines.sources.time_column import clock_notes, time_column
from storage.errors import UserError


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
    if unknown := [it for it in reading.text if it not in names]:
        raise UserError(f"--text {unknown[0]}: {files[0].name} has no such column; it has {listed(names)}")
    time = time_column(files, names, reading)
    entity = reading.entity
    if entity is not None and entity not in names:
        raise UserError(f"there is no column {entity!r} for --entity; {files[0].name} has {listed(names)}")
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
    notes += clock_notes(files, time, reading)
    return Decided(time, entity, as_table(schema, existing), tuple(notes))


def _names(files: Sequence[FileFacts]) -> list[str]:
    first = files[0]
    for other in files[1:]:
        missing = [it for it in first.columns if it not in other.columns]
        more = [it for it in other.columns if it not in first.columns]
        if missing or more:
            what = f"lacks {listed(missing)}" if missing else f"also has {listed(more)}"
            common = [it for it in first.columns if it in other.columns]
            raise UserError(
                f"the files differ in their columns: {other.name} {what}, compared with {first.name}; ingest "
                f"them apart, or take what both have: --columns {','.join(common)}"
            )
    return list(first.columns)


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
    if all(is_number(it) for it in kinds):
        return pa.int64() if all(pa.types.is_integer(it) for it in kinds) else pa.float64()
    told = ", ".join(f"{it} in {where}" for it, where in kinds.items())
    raise UserError(
        f"column {name!r} is {told}; write it as one type, or ingest the files into tables of their own"
    )


def _of_text(
    files: Sequence[FileFacts], name: str, is_entity: bool, reading: Reading, notes: list[str]
) -> pa.DataType:
    profiles = profiles_of(files, name)
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
    if marks := _grouped(profiles, numbers, present, reading):
        file, example = _first(files, name, "word")
        raise UserError(
            f"column {name!r} has numbers whose digits are in groups, first {example.text!r} in "
            f"{file.where(example.row)}; say so: {marks}"
        )
    if reading.decimal == "." and reading.thousands != "," and commas and 2 * (numbers + commas) >= present:
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


def _grouped(profiles: Sequence[Profile], numbers: int, present: int, reading: Reading) -> str | None:
    """The options that read a column of numbers whose digits are grouped; None: it is no such column."""
    together = sum((it.grouped for it in profiles), Counter[tuple[str, str]]())
    if not together:
        return None
    (thousands, decimal), count = together.most_common(1)[0]
    commas = sum(it.commas for it in profiles)
    # 1,5 beside 1,234: a decimal comma.
    if 2 * (numbers + count) < present or (thousands == "," and commas > count):
        return None
    option = f"--thousands '{thousands}'" if thousands != "'" else '--thousands "\'"'
    if thousands == "," and commas == count:
        return f"{option} (or, if the comma is its decimal mark, --decimal ',')"
    return option if decimal == reading.decimal else f"{option} --decimal '{decimal}'"


def _first(files: Sequence[FileFacts], name: str, what: str) -> tuple[FileFacts, Example]:
    return next((it, it.columns[name].first[what]) for it in files if what in it.columns[name].first)


def _check_infinities(files: Sequence[FileFacts], types: Mapping[str, pa.DataType], reading: Reading) -> None:
    if reading.infinities == "null":
        return
    for name, type_ in types.items():
        count = sum(it.infinite for it in profiles_of(files, name))
        if count and is_number(type_):
            file, example = _first(files, name, "infinite")
            raise UserError(
                f"column {name!r} holds {count:,} infinities, first in {file.where(example.row)}; no "
                "scaling can undo "
                "them: mend them, or take them as missing with --infinities null"
            )
