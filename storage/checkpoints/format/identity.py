"""How a repository names chunks and commits, and hides their bytes: in the clear, or under its data key.

Encryption is AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits per message; the keys for names and
for bytes are derived from the data key by BLAKE3's key derivation, each for its own purpose.
"""

import secrets
from typing import Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.checkpoints.errors import Damaged, WrongKey
from storage.checkpoints.tensor import Buffer

NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD = NONCE_BYTES + TAG_BYTES
"""Bytes that a message grows by when it is sealed."""

_FOR_NAMES = "carousel 2026 checkpoint repository 2: names of chunks and commits"
_FOR_BYTES = "carousel 2026 checkpoint repository 2: bytes of chunks and manifests"
_FOR_CHECK = b"carousel data key check 1"


class Identity(Protocol):
    """Safe to share between threads."""

    sealed: bool
    """Whether bytes are hidden."""

    def digest(self, *parts: Buffer) -> str:
        """64 hex digits that name these bytes, one after the other."""
        ...

    def seal(self, plain: Buffer, bound: bytes) -> Buffer:
        """Bytes as they may lie in the bucket; they open only beside the same `bound` bytes."""
        ...

    def open(self, stored: Buffer, bound: bytes, what: str) -> Buffer:
        """Inverse of `seal`. Raises Damaged."""
        ...


class Clear:
    """Nothing is hidden, and equal bytes have equal names in every repository."""

    sealed = False

    def digest(self, *parts: Buffer) -> str:
        """See `Identity`."""
        return _digest(blake3(), parts)

    def seal(self, plain: Buffer, bound: bytes) -> Buffer:
        """See `Identity`."""
        return plain

    def open(self, stored: Buffer, bound: bytes, what: str) -> Buffer:
        """See `Identity`."""
        return stored


CLEAR = Clear()


class Locked:
    """An encrypted repository without its key: what names and hides nothing, as a collection, still works."""

    sealed = True

    def __init__(self, place: str) -> None:
        self._place = place

    def digest(self, *parts: Buffer) -> str:
        """Raises WrongKey."""
        raise self._refusal()

    def seal(self, plain: Buffer, bound: bytes) -> Buffer:
        """Raises WrongKey."""
        raise self._refusal()

    def open(self, stored: Buffer, bound: bytes, what: str) -> Buffer:
        """Raises WrongKey."""
        raise self._refusal()

    def _refusal(self) -> WrongKey:
        return WrongKey(
            f"the repository at {self._place!r} is encrypted and no key was given; set"
            " CAROUSEL_REPOSITORY_KEY, or CAROUSEL_REPOSITORY_KEY_FILE to a file that holds it"
        )


class Keyed:
    """Names and bytes under a repository's data key: without it, neither tells what was stored."""

    sealed = True

    def __init__(self, data_key: bytes) -> None:
        self._names = blake3(data_key, derive_key_context=_FOR_NAMES).digest()
        self._cipher = AESGCM(blake3(data_key, derive_key_context=_FOR_BYTES).digest())

    def digest(self, *parts: Buffer) -> str:
        """See `Identity`."""
        return _digest(blake3(key=self._names), parts)

    def seal(self, plain: Buffer, bound: bytes) -> bytes:
        """See `Identity`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, stored: Buffer, bound: bytes, what: str) -> bytes:
        """See `Identity`."""
        if len(stored) < OVERHEAD:
            raise Damaged(f"{what}: {len(stored)} bytes are too few to be encrypted ones")
        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], bound)
        except InvalidTag:
            raise Damaged(f"{what}: not what was encrypted, or not in its place") from None

    @staticmethod
    def check(data_key: bytes) -> str:
        """64 hex digits by which a data key is known to be the repository's."""
        return blake3(_FOR_CHECK, key=data_key).hexdigest()


def _digest(hasher: blake3, parts: tuple[Buffer, ...]) -> str:
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()
