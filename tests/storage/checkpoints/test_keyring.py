"""Outer keys open what they may open, and nothing secret shows anywhere."""

import json

import pytest

from storage.checkpoints.errors import Damaged, WrongKey
from storage.checkpoints.format.keyring import KEYS, Keyring
from storage.checkpoints.format.names import fresh_nonce
from storage.checkpoints.format.outer_key import OuterKey, Scrypt
from storage.checkpoints.format.store import Below

from .fake_store import FakeStore
from .simulation import Simulation

HEX = "ab" * 32
PHRASE = "correct horse battery staple"


@pytest.fixture
def files() -> Below:
    return Below(FakeStore(Simulation().server), "ck")


@pytest.mark.parametrize("text", [HEX, PHRASE])
def test_the_outer_key_of_a_repository_opens_it(files, text):
    made = Keyring.make(files, OuterKey.of(text), fresh_nonce)
    opened = Keyring.open(files, OuterKey.of(text), made.check)
    sealed = made.identity.seal(b"weights", b"place")
    assert opened.identity.open(sealed, b"place", "it") == b"weights"
    assert opened.identity.digest(b"a", b"b") == made.identity.digest(b"ab")


@pytest.mark.parametrize("other", ["cd" * 32, PHRASE + "!", HEX[:-2]])
def test_another_key_does_not_open_it_and_is_not_shown(files, other):
    made = Keyring.make(files, OuterKey.of(HEX), fresh_nonce)
    with pytest.raises(WrongKey) as caught:
        Keyring.open(files, OuterKey.of(other), made.check)
    assert other not in str(caught.value)


def test_a_copy_of_another_repositorys_key_is_passed_over(files):
    Keyring.make(files, OuterKey.of(HEX), fresh_nonce)  # who lost the race to make the repository
    made = Keyring.make(files, OuterKey.of(HEX), fresh_nonce)
    assert Keyring.open(files, OuterKey.of(HEX), made.check).check == made.check


def test_after_a_rotation_only_the_new_key_opens_what_was_sealed_before(files):
    made = Keyring.make(files, OuterKey.of(HEX), fresh_nonce)
    sealed = made.identity.seal(b"weights", b"")
    assert made.rotate(OuterKey.of(PHRASE), fresh_nonce) == 1
    with pytest.raises(WrongKey):
        Keyring.open(files, OuterKey.of(HEX), made.check)
    assert Keyring.open(files, OuterKey.of(PHRASE), made.check).identity.open(sealed, b"", "") == b"weights"


def test_two_people_may_open_one_repository(files):
    made = Keyring.make(files, OuterKey.of(HEX), fresh_nonce)
    made.add(OuterKey.of(PHRASE), fresh_nonce)
    assert {Keyring.open(files, OuterKey.of(text), made.check).check for text in (HEX, PHRASE)} == {
        made.check
    }


def test_a_rotation_while_it_is_opened_does_not_shut_out_who_has_the_new_key():
    new, server = OuterKey.of(PHRASE), Simulation().server
    made = Keyring.make(Below(FakeStore(server), "ck"), OuterKey.of(HEX), fresh_nonce)

    def rotated_after_the_list(request):
        if request.verb == "get" and len(opener.requests) == 2:
            made.rotate(new, fresh_nonce)

    opener = FakeStore(server, rotated_after_the_list)
    assert Keyring.open(Below(opener, "ck"), new, made.check).check == made.check
    with pytest.raises(WrongKey):
        Keyring.open(Below(FakeStore(server), "ck"), OuterKey.of(HEX), made.check)


@pytest.mark.parametrize("nonce", ["0" * 32, "f" * 32])
def test_a_copy_that_cannot_be_read_shuts_out_only_whose_it_is(files, nonce):
    made = Keyring.make(files, OuterKey.of(HEX), fresh_nonce)
    files.put(KEYS + nonce, b"{}")
    assert Keyring.open(files, OuterKey.of(HEX), made.check).check == made.check
    with pytest.raises(Damaged):
        Keyring.open(files, OuterKey.of(PHRASE), made.check)


@pytest.mark.parametrize("where", [0, 12, -1])
def test_sealed_bytes_that_were_changed_or_moved_do_not_open(files, where):
    identity = Keyring.make(files, OuterKey.of(HEX), fresh_nonce).identity
    sealed = bytearray(identity.seal(b"weights", b"chunk 1"))
    with pytest.raises(Damaged, match="in its place"):
        identity.open(bytes(sealed), b"chunk 2", "it")
    sealed[where] ^= 1
    with pytest.raises(Damaged):
        identity.open(bytes(sealed), b"chunk 1", "it")


def test_no_part_of_a_key_shows_in_a_repr_or_in_the_bucket(files):
    outer = OuterKey.of(PHRASE)
    made = Keyring.make(files, outer, fresh_nonce)
    shown = repr(outer) + repr(made) + repr(made.identity)
    assert PHRASE not in shown
    assert made._data_key.hex() not in shown
    assert repr(made._data_key) not in shown
    stored = b"".join(files.get(key, 2**26).data for key, _ in files.list(KEYS))
    assert PHRASE.encode() not in stored
    assert made._data_key.hex().encode() not in stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nonce", "00"),
        ("wrapped", "zz" * 48),
        ("kdf", {"n": 2**40, "name": "scrypt", "p": 1, "r": 8, "salt": "00" * 16}),
        ("kdf", {"n": 1000, "name": "scrypt", "p": 1, "r": 8, "salt": "00" * 16}),
        ("kdf", {"n": 2**15, "name": "md5", "p": 1, "r": 8, "salt": "00" * 16}),
    ],
)
def test_a_hostile_copy_is_refused_before_work_is_done(files, field, value):
    made = Keyring.make(files, OuterKey.of(PHRASE), fresh_nonce)
    (key,) = (key for key, _ in files.list(KEYS))
    content = {**json.loads(files.get(key, 2**26).data), field: value}
    files.put(key, json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    with pytest.raises(Damaged):
        Keyring.open(files, OuterKey.of(PHRASE), made.check)


def test_a_short_passphrase_is_refused_with_the_remedy():
    with pytest.raises(WrongKey, match="openssl rand -hex 32"):
        OuterKey.of("hunter2")


def test_scrypt_gives_the_key_of_rfc_7914():
    derived = Scrypt(b"SodiumChloride", n=16384, r=8, p=1).derive(b"pleaseletmein")
    assert derived.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
