"""The wrapped copies of a repository's data key: one for each outer key that may open it, below `keys/`.

A copy is immutable. Another outer key is let in by adding a copy, and shut out by deleting its one; no pack,
manifest or head changes. Who could open the repository before may have kept the data key: what has to be
hidden from them must go to a new repository.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.checkpoints.errors import Damaged, WrongKey
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.identity import NONCE_BYTES, TAG_BYTES, Keyed
from storage.checkpoints.format.names import SMALL_LIMIT, Nonces
from storage.checkpoints.format.outer_key import KEY_BYTES, OuterKey, Scrypt, from_hex
from storage.checkpoints.format.store import Below
from storage.objects import NotFound

KEYS = "keys/"
CIPHER = "aes-256-gcm"
_BOUND = b"carousel data key 1"
_SALT_BYTES = 16
_COPIES_LIMIT = 100
_LISTS = 5
"""Times that copies are listed anew where one went meanwhile."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The data key of an opened repository, and its wrapped copies in the bucket."""

    files: Below
    check: str
    """From `repository.json`: which data key is the right one."""
    _data_key: bytes = field(repr=False)

    @property
    def identity(self) -> Keyed:
        """Names and bytes under this key."""
        return Keyed(self._data_key)

    @classmethod
    def make(cls, files: Below, outer: OuterKey, nonces: Nonces) -> "Keyring":
        """A new data key and its copy; the copy fits nothing if another makes the repository first."""
        data_key = secrets.token_bytes(KEY_BYTES)
        ring = cls(files, Keyed.check(data_key), data_key)
        ring.add(outer, nonces)
        return ring

    @classmethod
    def open(cls, files: Below, outer: OuterKey, check: str) -> "Keyring":
        """Find the copy that `outer` opens.

        Raises:
            WrongKey: there is none.
            Damaged: none that can be read, and one that cannot.
        """
        trouble: Damaged | None = None
        for _ in range(_LISTS):
            rotated = False
            for key in _copies(files):
                try:
                    data_key = _unwrap(files.get(key, SMALL_LIMIT).data, key, outer)
                except NotFound:  # since it was listed: the one in its place was there before it went
                    rotated = True
                except Damaged as error:  # somebody else's, perhaps: it must not shut out everybody
                    trouble = error
                else:
                    if data_key is not None and secrets.compare_digest(Keyed.check(data_key), check):
                        return cls(files, check, data_key)
            if not rotated:
                break
        if trouble is not None:
            raise trouble
        kind = "passphrase" if outer.is_passphrase else "key of 64 hex digits"
        raise WrongKey(
            f"the {kind} that was given does not open the repository at {files.prefix!r}; give the one it was"
            " made with, or that was added to it since"
        )

    def add(self, outer: OuterKey, nonces: Nonces) -> str:
        """Let another outer key open the repository too; where its copy lies."""
        kdf = Scrypt(secrets.token_bytes(_SALT_BYTES)) if outer.is_passphrase else None
        wrapping = outer.wrapping_key(kdf)
        assert wrapping is not None
        nonce = secrets.token_bytes(NONCE_BYTES)
        content: dict[str, Any] = {
            "cipher": CIPHER,
            "kdf": None if kdf is None else kdf.to_json(),
            "nonce": nonce.hex(),
            "wrapped": AESGCM(wrapping).encrypt(nonce, self._data_key, _BOUND).hex(),
        }
        key = KEYS + nonces()
        self.files.put(key, canonical.dumps(content))
        return key

    def rotate(self, outer: OuterKey, nonces: Nonces) -> int:
        """Let only `outer` open the repository from now on; how many copies were deleted.

        The new copy is durable before the first old one goes.
        """
        old = _copies(self.files)
        self.add(outer, nonces)
        for key in old:
            self.files.delete(key)
        return len(old)


def _copies(files: Below) -> list[str]:
    found = [key for key, _ in files.list(KEYS)]
    if len(found) > _COPIES_LIMIT:
        raise Damaged(f"there are {len(found)} wrapped keys below {KEYS!r}, more than {_COPIES_LIMIT}")
    return found


def _unwrap(data: bytes, what: str, outer: OuterKey) -> bytes | None:
    """The data key; None if another outer key has wrapped it. Raises Damaged."""
    got = fields.Fields(canonical.loads(data, what), what, ("cipher", "kdf", "nonce", "wrapped"))
    if got.text("cipher") != CIPHER:
        return None  # of a newer program, for somebody else
    kdf = None if got.value["kdf"] is None else Scrypt.from_json(got.value["kdf"], f"{what}.kdf")
    nonce = from_hex(got.text("nonce"), f"{what}.nonce", NONCE_BYTES)
    wrapped = from_hex(got.text("wrapped"), f"{what}.wrapped", KEY_BYTES + TAG_BYTES)
    wrapping = outer.wrapping_key(kdf)
    if wrapping is None:
        return None
    try:
        return AESGCM(wrapping).decrypt(nonce, wrapped, _BOUND)
    except InvalidTag:
        return None
