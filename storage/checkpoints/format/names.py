"""Which keys there are below a repository's prefix, and which names may become part of one."""

import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from storage.checkpoints.errors import Damaged, InvalidName

PACKS = "packs/"
COLLECTIONS = "collections/"
RUNS = "runs/"
REPOSITORY = "repository.json"
PROBES = "probe-"
"""What keys begin with that a writer tries the server out with: see `storage.object_probe`."""

MAX_GENERATION = 99_999_999
OBJECT_NAME_LENGTH = 8 + 1 + 32
Nonces = Callable[[], str]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_OBJECT = re.compile(r"[0-9]{8}-[0-9a-f]{32}", re.ASCII)
_BELOW_RUN = {"manifests": "manifest", "pages": "page"}
_COLLECTION = re.compile(r"[0-9]{8}", re.ASCII)
_BAD_IN_TENSOR = re.compile(r"[\x00-\x1f\x7f\\]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TENSOR_LIMIT = 1024
NEWEST = "newest"
"""Where a commit is named: the newest one that is complete. No tag can be called so, nor have no name."""
TEXT_LIMIT = 1024
"""Characters of any other text in a head or manifest."""
SMALL_LIMIT = 2**16
"""Bytes of `repository.json`, or of a copy of a data key."""
COUNT_LIMIT = 2**62
"""The largest number in a head or manifest."""


def fresh_nonce() -> str:
    """128 random bits in hex: no two objects ever share a name, no two heads their content."""
    return secrets.token_hex(16)


def object_name(generation: int, nonce: str) -> str:
    """Name of a new pack, manifest or page whose writer knew collection `generation` as the newest."""
    assert 0 <= generation <= MAX_GENERATION
    return f"{generation:08d}-{nonce}"


def checked_object_name(name: str, what: str) -> str:
    """`name`, if it is one that `object_name` makes: it must not lead to another place. Raises Damaged."""
    if not _OBJECT.fullmatch(name):
        raise Damaged(f"{what} is named {name[:60]!r}, which no writer would choose")
    return name


def is_word(name: str) -> bool:
    """Whether `name` may name a run or an attempt."""
    return _WORD.fullmatch(name) is not None


def checked_word(name: str, what: str) -> str:
    """`name`, if it may name a run or an attempt. Raises InvalidName."""
    if not _WORD.fullmatch(name):
        raise InvalidName(
            f"{what} {name[:200]!r} must be 1 to 128 of A-Z a-z 0-9 . _ -, and begin with a letter or digit"
        )
    return name


def checked_tensor_name(name: str) -> str:
    """`name`, if it may name a tensor, and would be harmless as a path too. Raises InvalidName."""
    parts = name.split("/")
    if len(name) > _TENSOR_LIMIT or _BAD_IN_TENSOR.search(name) or {"", ".", ".."} & set(parts):
        raise InvalidName(
            f"tensor name {name[:200]!r} must be at most {_TENSOR_LIMIT} characters, without control"
            " characters, backslashes, or empty, '.' or '..' parts between slashes"
        )
    return checked_text(name, "tensor name")


def checked_text(text: str, what: str) -> str:
    """`text`, if UTF-8 can hold it: bytes of a command line that are none become lone surrogates.

    Raises InvalidName.
    """
    if _SURROGATE.search(text):
        raise InvalidName(f"{what} {text[:200]!r} is not text in UTF-8; write it in other characters")
    return text


def checked_tags(tags: Collection[str]) -> tuple[str, ...]:
    """`tags`, each once, if commits can be called so. Raises InvalidName."""
    if isinstance(tags, str):
        raise InvalidName(f"tags is the text {tags[:200]!r}; give a list of texts")
    for tag in tags:
        if not isinstance(tag, str) or len(tag) > TEXT_LIMIT:
            raise InvalidName(f"tag {str(tag)[:200]!r} must be a text of at most {TEXT_LIMIT} characters")
        if tag in ("", NEWEST):
            raise InvalidName(f"a tag cannot be called {tag!r}: choose another name")
        checked_text(tag, "tag")
    return tuple(dict.fromkeys(tags))


def head_key(run: str) -> str:
    """Key of a run's head."""
    return f"{RUNS}{checked_word(run, 'run')}/head"


def manifests_below(run: str) -> str:
    """What the keys of a run's manifests begin with."""
    return f"{RUNS}{checked_word(run, 'run')}/manifests/"


def manifest_key(run: str, name: str) -> str:
    """Key of a manifest."""
    return manifests_below(run) + checked_object_name(name, "manifest")


def page_key(run: str, name: str) -> str:
    """Key of a page."""
    return f"{RUNS}{checked_word(run, 'run')}/pages/{checked_object_name(name, 'page')}"


def pack_key(name: str) -> str:
    """Key of a pack."""
    return f"{PACKS}{checked_object_name(name, 'pack')}"


def collection_key(number: int) -> str:
    """Key of what collection `number` (from 1) condemned. Raises Damaged: none comes after the last."""
    if not 1 <= number <= MAX_GENERATION:
        raise Damaged(
            f"collection {number} has no number: they go from 1 to {MAX_GENERATION}, further than anybody"
            f" collects; remove the newest object below {COLLECTIONS}, which no collection has written"
        )
    return f"{COLLECTIONS}{number:08d}"


def collection_number(key: str) -> int:
    """Inverse of `collection_key`. Raises Damaged: to overlook a list could lose data."""
    name = key.removeprefix(COLLECTIONS)
    if not _COLLECTION.fullmatch(name) or name == "00000000":
        raise Damaged(f"{key[:200]!r} lies among the collections but is none; remove it")
    return int(name)


class Kind(StrEnum):
    """Kinds of objects that a run or the repository has many of, and heads."""

    HEAD = "head"
    MANIFEST = "manifest"
    PACK = "pack"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Key:
    """A key taken apart."""

    kind: Kind
    run: str
    """"" for a pack."""
    name: str
    """Of an immutable object; "" for a head."""


def parse_key(key: str) -> Key | None:
    """What lies at a key below `packs/` or `runs/`; None: no writer would choose it."""
    match key.split("/"):
        case ["packs", name] if _OBJECT.fullmatch(name):
            return Key(Kind.PACK, "", name)
        case ["runs", run, "head"] if _WORD.fullmatch(run):
            return Key(Kind.HEAD, run, "")
        case ["runs", run, folder, name] if _WORD.fullmatch(run) and _OBJECT.fullmatch(name):
            return Key(Kind(_BELOW_RUN[folder]), run, name) if folder in _BELOW_RUN else None
    return None


def object_key(kind: Kind, run: str, name: str) -> str:
    """Key of a pack, manifest or page."""
    if kind is Kind.PACK:
        return pack_key(name)
    return manifest_key(run, name) if kind is Kind.MANIFEST else page_key(run, name)


def generation(name: str) -> int:
    """The newest collection that the writer of a pack, manifest or page knew."""
    return int(checked_object_name(name, "an object")[:8])
