"""The independent reader for encrypted repositories, written from the page's section on encryption alone."""

import base64
import json

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from .independent_reader import Reader, canonical

PURPOSE = "carousel 2026 checkpoint repository 2: "


class EncryptedReader(Reader):
    """`outer_key`: 32 bytes, or a passphrase."""

    def __init__(self, folder, outer_key):
        super().__init__(folder)
        key = self.data_key(outer_key)
        self.names = blake3(key, derive_key_context=PURPOSE + "names of chunks and commits").digest()
        self.bytes = blake3(key, derive_key_context=PURPOSE + "bytes of chunks and manifests").digest()

    def data_key(self, outer_key):
        for path in (self.folder / "keys").iterdir():
            copy, outer = self.json(path), outer_key
            if kdf := copy["kdf"]:
                scrypt = Scrypt(bytes.fromhex(kdf["salt"]), 32, kdf["n"], kdf["r"], kdf["p"])
                outer = scrypt.derive(outer_key.encode())
            nonce, wrapped = bytes.fromhex(copy["nonce"]), bytes.fromhex(copy["wrapped"])
            try:
                key = AESGCM(outer).decrypt(nonce, wrapped, b"carousel data key 1")
            except InvalidTag:
                continue  # a copy for another outer key
            if (
                blake3(b"carousel data key check 1", key=key).hexdigest()
                == self.settings["encryption"]["check"]
            ):
                return key
        raise ValueError("this outer key opens no copy of the data key")

    def hash(self, data):
        return blake3(data, key=self.names).hexdigest()

    def opened(self, sealed, *bound):
        return AESGCM(self.bytes).decrypt(sealed[:12], sealed[12:], b"\0".join(bound))

    def stored(self, data, chunk_id, codec):
        return self.opened(data, b"chunk", chunk_id.encode(), codec.encode())

    def manifest(self, key):
        outer = self.json(key)
        inner = self.opened(base64.b64decode(outer["sealed"]), b"manifest", canonical(outer["packs"]))
        return outer | json.loads(inner)
