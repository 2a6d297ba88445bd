"""Secrets are encrypted for one row, by one of several keys, and appear in no error and no repr."""

from dataclasses import replace
from secrets import token_bytes, token_hex
from uuid import uuid4

import pytest
from pydantic import SecretStr, ValidationError

from config.encryption import EncryptionSettings
from domain.channels import DeviceKind
from storage.devices import NewDevice
from storage.encryption import DecryptionError, Encryption, SecretOwner

FORMER, CURRENT, LOOKUP = token_bytes(32), token_bytes(32), token_bytes(32)
OWNER = SecretOwner(table="device", tenant=uuid4(), id="ada")
SECRET = "swordfish"


def settings(keys: str, lookup: str = "") -> EncryptionSettings:
    return EncryptionSettings(encryption_keys=SecretStr(keys), lookup_key=SecretStr(lookup), _env_file=None)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before, after = Encryption({"a": FORMER}, LOOKUP), Encryption({"b": CURRENT, "a": FORMER}, LOOKUP)
    for writer, id in ((before, "a"), (after, "b")):
        stored = writer.encrypt(SECRET, OWNER, "token")
        assert stored.startswith(f"enc:{id}:")
        assert SECRET not in stored
        assert after.decrypt(stored, OWNER, "token") == SECRET


def test_equal_values_have_different_ciphertexts() -> None:
    encryption = Encryption({"a": FORMER}, LOOKUP)
    assert encryption.encrypt(SECRET, OWNER, "token") != encryption.encrypt(SECRET, OWNER, "token")


@pytest.mark.parametrize(
    ("owner", "column"),
    [
        (replace(OWNER, tenant=uuid4()), "token"),
        (replace(OWNER, id="bob"), "token"),
        (replace(OWNER, table="recipient"), "token"),
        (OWNER, "url"),
    ],
)
def test_a_ciphertext_that_was_moved_is_refused(owner: SecretOwner, column: str) -> None:
    encryption = Encryption({"a": FORMER}, LOOKUP)
    stored = encryption.encrypt(SECRET, OWNER, "token")
    with pytest.raises(DecryptionError, match="was not encrypted for it by the key 'a'"):
        encryption.decrypt(stored, owner, column)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (Encryption({"old": FORMER}, LOOKUP).encrypt(SECRET, OWNER, "token"), "add it to TOCSIN_ENCRYPTION_KEYS"),
        (Encryption({"a": CURRENT}, LOOKUP).encrypt(SECRET, OWNER, "token"), "was not encrypted for it"),
        ("enc:a:AAAA", "was not encrypted for it"),
        (SECRET, "is not encrypted"),
        ({"endpoint": SECRET}, "is not encrypted"),
    ],
    ids=["a missing key", "another key", "too short", "a plain text", "a plain object"],
)
def test_an_undecryptable_value_is_named_without_its_content(stored: object, said: str) -> None:
    with pytest.raises(DecryptionError, match=said) as refused:
        Encryption({"a": FORMER}, LOOKUP).decrypt(stored, OWNER, "token")
    assert SECRET not in str(refused.value)
    assert OWNER.id not in str(refused.value)


def test_a_keyed_hash_needs_the_key_and_ignores_rotations() -> None:
    tenant = OWNER.tenant
    one = Encryption({"a": FORMER}, LOOKUP).address_hash(tenant, "email", "Ada@example.com")
    assert one == Encryption({"b": CURRENT}, LOOKUP).address_hash(tenant, "email", "ada@example.com")
    assert one != Encryption({"a": FORMER}, CURRENT).address_hash(tenant, "email", "ada@example.com")
    assert one != Encryption({"a": FORMER}, LOOKUP).address_hash(uuid4(), "email", "ada@example.com")


def test_no_repr_shows_a_key_or_a_token() -> None:
    key = token_hex(32)
    chosen = settings(f"a:{key}", key)
    device = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": SECRET})
    shown = f"{chosen!r} {Encryption.from_settings(chosen)!r} {device!r}"
    assert key not in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("keys", "lookup"),
    [
        ("swordfish", ""),
        ("a:swordfish", ""),
        (f"A B:{FORMER.hex()}", ""),
        (f"a:{FORMER.hex()},a:{CURRENT.hex()}", ""),
        (f"a:{'0' * 64}", ""),
        ("", "swordfish"),
        ("", "1" * 64),
    ],
    ids=["no id", "no hex", "a bad id", "an id twice", "zeros", "a lookup key without hex", "ones"],
)
def test_keys_that_are_not_keys_are_refused_without_being_quoted(keys: str, lookup: str) -> None:
    with pytest.raises(ValidationError, match=r"TOCSIN_(ENCRYPTION|LOOKUP)_KEY") as refused:
        settings(keys, lookup)
    assert SECRET not in str(refused.value)
    assert FORMER.hex() not in str(refused.value)
