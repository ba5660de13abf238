"""Which column is the time, and whether what it holds can be read in one way only."""

import shlex
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from pipelines.sources import clock_formats
from pipelines.sources.facts import FileFacts, profiles_of
from pipelines.sources.kinds import is_number
from pipelines.sources.profile import Profile
from pipelines.sources.reading import Reading
from pipelines.sources.say import listed
from storage.errors import UserError

_MANY = 20
"""Columns of numbers beside each other that may be the values of one series."""
_EPOCH_DIGITS = (9, 10, 13, 16)


def time_column(files: Sequence[FileFacts], names: Sequence[str], reading: Reading) -> str:
    """The column that is named as the time, or the only one that holds times.

    Raises:
        UserError: there is none, or several, or its values are no times that can be told.
    """
    if reading.time is not None:
        if reading.time not in names:
            raise UserError(
                f"there is no column {reading.time!r} for --time; {files[0].name} has {listed(names)}"
            )
        _check_time(files, reading.time, reading)
        return reading.time
    found = [name for name in names if all(_holds_times(it, reading) for it in profiles_of(files, name))]
    if len(found) == 1:
        _check_time(files, found[0], reading)
        return found[0]
    if found:
        raise UserError(
            f"several columns hold times: {', '.join(found)}; say which one orders the rows: --time "
            f"{found[0]}"
        )
    mixed = [it for it in names if any(p.naive and p.zoned for p in profiles_of(files, it))]
    if mixed:
        _check_time(files, mixed[0], reading)
    for name in names:
        _propose_format(files, name, reading)
    whole = [it for it in names if all(_looks_like_epoch(p) for p in profiles_of(files, it))]
    hint = f" (perhaps --time {whole[0]} --time-unit s, if it counts seconds since 1970)" if whole else ""
    if _one_series_per_line(files, names):
        hint += "; if each line is one series, its name and then its values: --wide --every 1h"
    raise UserError(
        f"no column of {files[0].name} holds times that are understood; name it with --time, and how it is "
        f"written with --time-format or --time-unit{hint}; the columns are {listed(names)}"
    )


def _propose_format(files: Sequence[FileFacts], name: str, reading: Reading) -> None:
    """Refuse times that are written in another way, if that way is known."""
    profiles = profiles_of(files, name)
    formats = clock_formats.common([it.formats for it in profiles])
    if reading.time_format or reading.time_unit or not formats or not all(it.present for it in profiles):
        return
    if not all(it.from_text for it in profiles) or all(_holds_times(it, reading) for it in profiles):
        return
    first = files[0].columns[name].first.get("word")
    example = f", such as {first.text!r} in {files[0].where(first.row)}" if first else ""
    named = "" if reading.time else f"--time {shlex.quote(name)} "
    options = " or ".join(f"{named}--time-format '{it}'" for it in formats[:2])
    raise UserError(
        f"column {name!r} holds times that are not written as ISO 8601{example}; say how they are: {options}"
    )


def _holds_times(profile: Profile, reading: Reading) -> bool:
    if not profile.from_text:
        return bool(pa.types.is_timestamp(profile.type) or pa.types.is_date(profile.type))
    if reading.time_format in profile.formats and profile.present:
        return True
    return profile.present > 0 and profile.naive + profile.zoned == profile.present


def _one_series_per_line(files: Sequence[FileFacts], names: Sequence[str]) -> bool:
    """Whether a first column of text stands before many columns of numbers, and nothing else."""
    first, *others = names
    return len(others) >= _MANY and all(
        it.columns[first].present > it.columns[first].numbers
        and all(it.columns[name].numbers == it.columns[name].present for name in others)
        for it in files
        if all(profile.from_text for profile in it.columns.values())
    )


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
    _propose_format(files, time, reading)
    for file in files:
        profile = file.columns[time]
        counts = profile.numbers == profile.present if profile.from_text else is_number(profile.type)
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
            "apart, the latter with --timezone"
        )


def _zoned(profile: Profile) -> bool | None:
    if profile.from_text:
        return None if profile.naive == profile.zoned else profile.zoned > 0
    return profile.type.tz is not None if pa.types.is_timestamp(profile.type) else None


def clock_notes(files: Sequence[FileFacts], time: str, reading: Reading) -> list[str]:
    """How times were understood, where that could surprise."""
    offsets = sum((profile.offsets for profile in profiles_of(files, time)), Counter[str]())
    if len(offsets) > 1:
        counts = ", ".join(f"{offset} ({count:,} rows)" for offset, count in sorted(offsets.items()))
        return [f"times of {time!r} have the offsets {counts}: they are taken as moments in UTC"]
    naive = any(_zoned(it) is False or pa.types.is_date(it.type) for it in profiles_of(files, time))
    if reading.time_format is not None and "%z" not in reading.time_format.lower():
        naive = True
    if naive and reading.timezone is None:
        return [f"times of {time!r} have no zone; they are taken as UTC (--timezone says otherwise)"]
    if not naive and reading.timezone is not None and reading.time_unit != "ordinal":
        return [f"times of {time!r} say their zone themselves; --timezone {reading.timezone} changes nothing"]
    return []
