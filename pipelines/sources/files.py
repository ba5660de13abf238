"""Which files a command means: paths, folders and globs of this machine, and of buckets.

Everything is sorted by name, so that the same command means the same files in the same order.
"""

import fnmatch
import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.sources.table_parts import refuse_parts
from storage import uri as uris
from storage.errors import UserError
from storage.objects import AccessDenied, Bucket, ObjectInfo

CSV, PARQUET = "csv", "parquet"
_KINDS = {".csv": CSV, ".tsv": CSV, ".txt": CSV, ".parquet": PARQUET, ".pq": PARQUET}
_PACKED = (".gz", ".zst", ".bz2")
_SUPPORTED = ".csv, .tsv, .txt (also .gz, .zst, .bz2) and .parquet"
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was asked for."""

    name: str
    """As people would write it: a path, or `s3://bucket/key`."""
    kind: str
    """`csv` or `parquet`."""
    size: int
    """Bytes."""
    path: Path | None
    """None: it is an object of a bucket."""
    bucket: str = ""
    key: str = ""
    etag: str = ""


def find(sources: Sequence[str], bucket: Callable[[str], Bucket]) -> list[SourceFile]:
    """Every file that `sources` mean, each once.

    Args:
        sources: paths, folders, globs (`**`: any depth), and the same as `s3://bucket/...`.
        bucket: opens a bucket by its name.

    Raises:
        UserError: one means no file, a file that is neither CSV nor Parquet, or a part of a table.
    """
    found: dict[str, SourceFile] = {}
    for source in sources:
        remote = source.startswith(("s3://", "s3a://"))
        files = list(_remote(source, bucket) if remote else _local(source))
        if not files:
            raise UserError(f"{source} means no file; supported are {_SUPPORTED}; check the address")
        found.update((file.name, file) for file in files)
    return [found[name] for name in sorted(found)]


def kind_of(name: str) -> str | None:
    """What a file's name says it is; None: nothing that is supported."""
    path = Path(name.lower())
    return _KINDS.get(path.with_suffix("").suffix if path.suffix in _PACKED else path.suffix)


def _local(source: str) -> Iterator[SourceFile]:
    path = Path(source)
    if path.is_dir():
        yield from _chosen((it for it in path.rglob("*") if it.is_file()), source)
    elif path.exists():
        yield from _chosen([path], source)
    elif _MAGIC.search(source):
        yield from _chosen(
            (Path(it) for it in glob.glob(source, recursive=True)),  # noqa: PTH207 - patterns may be absolute
            source,
        )
    else:
        raise UserError(f"no such file: {source}")


def _chosen(paths: Iterable[Path], source: str) -> Iterator[SourceFile]:
    """Those of a folder that are meant: not markers such as `_SUCCESS`, nor hidden files."""
    chosen = [it for it in paths if it.is_file() and not it.name.startswith(("_", "."))]
    refuse_parts((it.resolve().as_posix() for it in chosen if kind_of(it.name) == PARQUET), _names_in, str)
    for path in chosen:
        yield _local_file(path, source)


def _names_in(folder: str) -> list[str]:
    try:
        return [it.name for it in Path(folder).iterdir()]
    except OSError:  # not there, or not for us to see
        return []


def _local_file(path: Path, source: str) -> SourceFile:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return SourceFile(str(path), _known_kind(str(path), source, size), size, path)


def _remote(source: str, bucket: Callable[[str], Bucket]) -> Iterator[SourceFile]:
    pattern = source.partition("://")[2].partition("/")[2]
    whole = _MAGIC.search(pattern) is None
    place, _ = uris.parse(_MAGIC.split(source)[0].rpartition("/")[0] if not whole else source)
    opened = bucket(place)
    prefix = _MAGIC.split(pattern)[0]
    infos = list(opened.list(prefix))
    listed = _by_folder(infos)
    if whole:
        exact = [it for it in infos if it.key == pattern]
        folder = pattern if pattern.endswith("/") or not pattern else f"{pattern}/"
        infos = exact or [it for it in infos if it.key.startswith(folder) and _is_data(it.key)]
    else:
        wanted = re.compile(_expression(pattern))
        infos = [it for it in infos if wanted.fullmatch(it.key) and _is_data(it.key)]
    parquet = [it.key for it in infos if kind_of(it.key) == PARQUET]
    refuse_parts(parquet, partial(_keys_in, opened, prefix, listed), partial(uris.build, place))
    for info in infos:
        yield _remote_file(place, info, source)


def _keys_in(bucket: Bucket, prefix: str, listed: Mapping[str, Sequence[str]], folder: str) -> Sequence[str]:
    """Names in a folder; asks the server only where what was listed under `prefix` cannot tell."""
    if folder.startswith(prefix):
        return listed.get(folder, ())
    try:
        return _by_folder(bucket.list(folder)).get(folder, ())
    except AccessDenied:  # keys that may only list what was asked for
        return ()


def _by_folder(infos: Iterable[ObjectInfo]) -> dict[str, list[str]]:
    """Names by the folder that they are in, which ends with `/`."""
    found: dict[str, list[str]] = {}
    for info in infos:
        folder, divided, name = info.key.rpartition("/")
        found.setdefault(folder + divided, []).append(name)
    return found


def _remote_file(bucket: str, info: ObjectInfo, source: str) -> SourceFile:
    name = uris.build(bucket, info.key)
    kind = _known_kind(name, source, info.size)
    return SourceFile(name, kind, info.size, None, bucket, info.key, info.etag)


def _is_data(key: str) -> bool:
    return not key.endswith("/") and not key.rpartition("/")[2].startswith(("_", "."))


def _expression(pattern: str) -> str:
    """A glob as a regular expression: `*` stays inside a folder, `**` does not."""
    parts = re.split(r"(\*\*/?)", pattern)
    return "".join("(?:.*/)?" if it == "**/" else ".*" if it == "**" else _single(it) for it in parts)


def _single(part: str) -> str:
    return fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")


def _known_kind(name: str, source: str, size: int) -> str:
    kind = kind_of(name)
    if kind is None:
        within = "" if name == source else f" (of {source})"
        raise UserError(f"{name}{within} is of no kind that can be ingested: only {_SUPPORTED} are")
    if not size:
        raise UserError(f"{name} is empty (0 bytes); nothing to ingest")
    return kind
