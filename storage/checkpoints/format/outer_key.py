"""The key that opens an encrypted repository: 32 random bytes, or a passphrase.

It only wraps the repository's data key, so it can be changed without touching a pack: `Keyring.rotate`.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from storage.checkpoints.errors import Damaged, WrongKey
from storage.checkpoints.format import fields

KEY = "CAROUSEL_REPOSITORY_KEY"
"""Environment variable that holds the key, or with `_FILE` names a file that does: never a settings file."""
KEY_BYTES = 32
_SALT_BYTES = 16
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_SHORTEST_PASSPHRASE = 12


@dataclass(frozen=True, slots=True)
class Scrypt:
    """Cost of turning a passphrase into a key (RFC 7914): takes 128 · n · r bytes of memory."""

    salt: bytes
    n: int = 2**15
    r: int = 8
    p: int = 1

    def derive(self, passphrase: bytes) -> bytes:
        """The key of a passphrase."""
        memory = 128 * self.r * (self.n + self.p + 2)
        return hashlib.scrypt(
            passphrase, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=memory, dklen=KEY_BYTES
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands beside a wrapped key."""
        return {"n": self.n, "name": "scrypt", "p": self.p, "r": self.r, "salt": self.salt.hex()}

    @classmethod
    def from_json(cls, value: Any, what: str) -> Self:
        """Raises Damaged, also for a cost that would exhaust this host."""
        got = fields.Fields(value, what, ("n", "name", "p", "r", "salt"))
        n, r, p = got.count("n", 2**20), got.count("r", 16), got.count("p", 4)
        if got.text("name") != "scrypt" or n < 2 or n & (n - 1) or not r or not p:
            raise Damaged(f"{what} is no cost of scrypt")
        return cls(from_hex(got.text("salt"), what, _SALT_BYTES), n, r, p)


@dataclass(frozen=True, slots=True)
class OuterKey:
    """A secret from outside the repository. Neither `repr` nor any message shows it."""

    secret: bytes = field(repr=False)
    is_passphrase: bool

    @classmethod
    def of(cls, text: str) -> Self:
        """A key of 64 hex digits (`openssl rand -hex 32`), or a passphrase.

        Raises:
            WrongKey: a passphrase that is too short to be one.
        """
        text = text.strip()
        if _HEX_KEY.fullmatch(text):
            return cls(bytes.fromhex(text), is_passphrase=False)
        if len(text) < _SHORTEST_PASSPHRASE:
            raise WrongKey(
                f"a repository's key is 64 hex digits (`openssl rand -hex 32`) or a passphrase of at least"
                f" {_SHORTEST_PASSPHRASE} characters; this one has {len(text)}"
            )
        return cls(text.encode(), is_passphrase=True)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ, *, name: str = KEY) -> Self | None:
        """The key that `name` holds, or the file that `name` with `_FILE` names; None: neither is set.

        Raises:
            WrongKey: both are, the file cannot be read, or what is there is no key.
        """
        text, path = variables.get(name), variables.get(f"{name}_FILE")
        if text and path:
            raise WrongKey(f"{name} and {name}_FILE are both set; set one of them")
        if path:
            try:
                text = Path(path).read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise WrongKey(f"{name}_FILE names {path}, which cannot be read: {error}") from error
        return cls.of(text) if text else None

    def wrapping_key(self, kdf: Scrypt | None) -> bytes | None:
        """32 bytes that wrap a data key; None: it was wrapped by the other kind of key."""
        if self.is_passphrase != (kdf is not None):
            return None
        return self.secret if kdf is None else kdf.derive(self.secret)


def from_hex(text: str, what: str, size: int) -> bytes:
    """`size` bytes. Raises Damaged."""
    if len(text) != 2 * size or set(text) - set("0123456789abcdef"):
        raise Damaged(f"{what} is not {2 * size} hex digits")
    return bytes.fromhex(text)
