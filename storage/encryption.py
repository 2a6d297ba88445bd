"""The one place where secrets become what the database keeps, and back; personal data will follow.

A secret is kept as the text `enc:<key id>:<base64>`: 12 random bytes, then AES-256-GCM's ciphertext. Its row is
authenticated with it, so that it opens in no other row, column or tenant.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config_encryption import EncryptionSettings

log = structlog.get_logger(__name__)

Json = dict[str, Any]

MARK = "enc"
NONCE_BYTES = 12
STORED = re.compile(rf"{MARK}:([a-z0-9_-]+):([A-Za-z0-9_-]+={{0,2}})")
# Of an address or a row: what gives access to a device or names a private URL. Other members are personal data.
SECRET_MEMBERS = frozenset({"token", "subscription", "webhook_url", "url", "secret", "previous_secret"})
OBJECTS = frozenset({"subscription"})
# A secret that is replaced keeps its ciphertext.
SAME_COLUMN = {"previous_secret": "secret"}


class DecryptionError(Exception):
    """The text names the row and the key, never a value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The row that a secret belongs to: `id` is its identity within the tenant. It may be personal: errors omit it."""

    table: str
    tenant: UUID
    id: str

    def __str__(self) -> str:
        return f"a {self.table} of tenant {self.tenant}"


class Encryption:
    """Encrypts by the first of `keys`, decrypts by any. `lookup_key` makes the keyed hashes that rows are found by."""

    def __init__(self, keys: Mapping[str, bytes], lookup_key: bytes) -> None:
        self.key_id = next(iter(keys))
        self._ciphers = {id: AESGCM(key) for id, key in keys.items()}
        self.lookup_pads = _pads(_derived(lookup_key, b"tocsin lookup"))
        # HMAC from its two hashes: a copy of `hmac.new` takes six times as long.
        self._inner, self._outer = map(hashlib.sha256, self.lookup_pads)
        self.fingerprints = {id: _derived(key, b"tocsin fingerprint").hex()[:16] for id, key in keys.items()}
        self.lookup_fingerprint = _derived(lookup_key, b"tocsin fingerprint").hex()[:16]

    @classmethod
    def of(cls, settings: EncryptionSettings) -> "Encryption":
        return cls(settings.encryption_key_ring, settings.lookup_key_bytes)

    def encrypt(self, value: str, owner: Owner, column: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self.key_id].encrypt(nonce, value.encode(), _bound_to(owner, column))
        return f"{MARK}:{self.key_id}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, stored: Any, owner: Owner, column: str) -> str:
        """Raise DecryptionError if the key is unknown or the text belongs to another row."""
        found = STORED.fullmatch(stored) if isinstance(stored, str) else None
        if found is None:
            raise DecryptionError(f"{column} of {owner} is not encrypted")
        cipher = self._ciphers.get(found[1])
        if cipher is None:
            raise DecryptionError(f"{column} of {owner} needs the key {found[1]!r}: add it to TOCSIN_ENCRYPTION_KEYS")
        sealed = base64.urlsafe_b64decode(found[2])
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(owner, column)).decode()
        except (InvalidTag, ValueError):
            raise DecryptionError(f"{column} of {owner} was not encrypted for it by the key {found[1]!r}") from None

    def encrypt_members(self, values: Json, owner: Owner) -> Json:
        """Return the object with its secret members encrypted; merging in SQL keeps them apart."""
        return {name: self._encrypted(name, value, owner) for name, value in values.items()}

    def _encrypted(self, name: str, value: Any, owner: Owner) -> Any:
        if name not in SECRET_MEMBERS or not value:
            return value
        return self.encrypt(json.dumps(value) if name in OBJECTS else value, owner, name)

    def decrypt_members(self, stored: Json, owner: Owner) -> Json:
        return {name: self._decrypted(name, value, owner) for name, value in stored.items()}

    def readable_members(self, stored: Json, owner: Owner) -> Json:
        """Decrypt the members whose keys are known, and leave the others out."""
        readable: Json = {}
        for name, value in stored.items():
            try:
                readable[name] = self._decrypted(name, value, owner)
            except DecryptionError as error:
                log.error("a secret cannot be decrypted", reason=str(error))
        return readable

    def _decrypted(self, name: str, value: Any, owner: Owner) -> Any:
        if name not in SECRET_MEMBERS or not value:
            return value
        plain = self.decrypt(value, owner, name)
        return json.loads(plain) if name in OBJECTS else plain

    def renew_members(self, stored: Json, owner: Owner) -> Json:
        """Encrypt members of other keys, and those that are not encrypted, by the current key."""
        renewed = dict(stored)
        for name, value in stored.items():
            if name in SECRET_MEMBERS and value and key_id_of(value) != self.key_id:
                plain = self._decrypted(name, value, owner) if key_id_of(value) else value
                renewed[name] = self._encrypted(name, plain, owner)
        return renewed

    def lookup_hash(self, value: str) -> str:
        """Return a keyed hash, for equality. Without the key values cannot be tried out."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value.encode())
        outer.update(inner.digest())
        return base64.urlsafe_b64encode(outer.digest()).rstrip(b"=").decode()

    def address_key(self, tenant: UUID, contact: str, value: str) -> str:
        """By what the suppression list knows an address: the same one of the same tenant gives the same key. `contact`
        is `email` or `phone`; the case of an email address does not matter."""
        plain = value.lower() if contact == "email" else value
        return self.lookup_hash(hashlib.sha256(f"{tenant}:{contact}:{plain}".encode()).hexdigest())

    def address_keys(self, tenant: UUID, contact: Json) -> Json:
        """Of the addresses that are named; None for one that is named to be cleared."""
        named = [name for name in ("email", "phone") if name in contact]
        return {name: self.address_key(tenant, name, contact[name]) if contact[name] else None for name in named}


class HasEncryption(Protocol):
    """A session of a `Database`, of either kind."""

    @property
    def info(self) -> Mapping[Any, Any]: ...


def encryption_of(session: HasEncryption) -> Encryption:
    encryption = session.info.get("encryption")
    if not isinstance(encryption, Encryption):
        raise RuntimeError("this database was opened without encryption keys")
    return encryption


def key_id_of(stored: Any) -> str | None:
    """None if the value is not encrypted."""
    found = STORED.fullmatch(stored) if isinstance(stored, str) else None
    return found[1] if found else None


def _bound_to(owner: Owner, column: str) -> bytes:
    return f"{owner.table}\0{SAME_COLUMN.get(column, column)}\0{owner.tenant}\0{owner.id}".encode()


def _derived(key: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(key)


def _pads(key: bytes) -> tuple[bytes, bytes]:
    """The inner and outer block of HMAC-SHA256."""
    block = key.ljust(hashlib.sha256().block_size, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
