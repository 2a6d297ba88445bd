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

from config.encryption import EncryptionSettings
from domain.json_types import Json

log = structlog.get_logger(__name__)

CIPHERTEXT_PREFIX = "enc"
NONCE_BYTES = 12
STORED_PATTERN = re.compile(rf"{CIPHERTEXT_PREFIX}:([a-z0-9_-]+):([A-Za-z0-9_-]+={{0,2}})")
# Of an address or a row: what gives access to a device or names a private URL. Other members are personal data.
SECRET_MEMBERS = frozenset({"token", "subscription", "webhook_url", "chat_url", "url", "secret", "previous_secret"})
JSON_MEMBERS = frozenset({"subscription"})
# A secret that is replaced keeps its ciphertext.
COLUMN_ALIASES = {"previous_secret": "secret"}


class DecryptionError(Exception):
    """Report a value that cannot be decrypted. The text names the row and the key, never the value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretOwner:
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
        self.lookup_pads = _hmac_pads(_derive_key(lookup_key, b"tocsin lookup"))
        # HMAC from its two hashes: a copy of `hmac.new` takes six times as long.
        self._inner, self._outer = map(hashlib.sha256, self.lookup_pads)
        self.fingerprints = {id: _derive_key(key, b"tocsin fingerprint").hex()[:16] for id, key in keys.items()}
        self.lookup_fingerprint = _derive_key(lookup_key, b"tocsin fingerprint").hex()[:16]

    @classmethod
    def from_settings(cls, settings: EncryptionSettings) -> "Encryption":
        return cls(settings.encryption_key_ring, settings.lookup_key_bytes)

    def encrypt(self, value: str, owner: SecretOwner, column: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._ciphers[self.key_id].encrypt(nonce, value.encode(), _associated_data(owner, column))
        return f"{CIPHERTEXT_PREFIX}:{self.key_id}:{base64.urlsafe_b64encode(nonce + ciphertext).decode()}"

    def decrypt(self, stored: Any, owner: SecretOwner, column: str) -> str:
        """Raise DecryptionError if the key is unknown or the text belongs to another row."""
        match = STORED_PATTERN.fullmatch(stored) if isinstance(stored, str) else None
        if match is None:
            raise DecryptionError(f"{column} of {owner} is not encrypted")
        cipher = self._ciphers.get(match[1])
        if cipher is None:
            raise DecryptionError(f"{column} of {owner} needs the key {match[1]!r}: add it to TOCSIN_ENCRYPTION_KEYS")
        ciphertext = base64.urlsafe_b64decode(match[2])
        try:
            return cipher.decrypt(
                ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], _associated_data(owner, column)
            ).decode()
        except (InvalidTag, ValueError):
            raise DecryptionError(f"{column} of {owner} was not encrypted for it by the key {match[1]!r}") from None

    def encrypt_members(self, values: Json, owner: SecretOwner) -> Json:
        """Return the object with its secret members encrypted; merging in SQL keeps them apart."""
        return {name: self._encrypt_member(name, value, owner) for name, value in values.items()}

    def _encrypt_member(self, name: str, value: Any, owner: SecretOwner) -> Any:
        if name not in SECRET_MEMBERS or not value:
            return value
        return self.encrypt(json.dumps(value) if name in JSON_MEMBERS else value, owner, name)

    def decrypt_members(self, stored: Json, owner: SecretOwner) -> Json:
        return {name: self._decrypt_member(name, value, owner) for name, value in stored.items()}

    def readable_members(self, stored: Json, owner: SecretOwner) -> Json:
        """Decrypt the members whose keys are known, and leave the others out."""
        readable: Json = {}
        for name, value in stored.items():
            try:
                readable[name] = self._decrypt_member(name, value, owner)
            except DecryptionError as error:
                log.error("a secret cannot be decrypted", reason=str(error))
        return readable

    def _decrypt_member(self, name: str, value: Any, owner: SecretOwner) -> Any:
        if name not in SECRET_MEMBERS or not value:
            return value
        plain = self.decrypt(value, owner, name)
        return json.loads(plain) if name in JSON_MEMBERS else plain

    def reencrypt_members(self, stored: Json, owner: SecretOwner) -> Json:
        """Encrypt members of other keys, and those that are not encrypted, by the current key."""
        reencrypted = dict(stored)
        for name, value in stored.items():
            if name in SECRET_MEMBERS and value and key_id_of(value) != self.key_id:
                plain = self._decrypt_member(name, value, owner) if key_id_of(value) else value
                reencrypted[name] = self._encrypt_member(name, plain, owner)
        return reencrypted

    def lookup_hash(self, value: str) -> str:
        """Return a keyed hash, for equality. Without the key values cannot be tried out."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value.encode())
        outer.update(inner.digest())
        return base64.urlsafe_b64encode(outer.digest()).rstrip(b"=").decode()

    def address_hash(self, tenant: UUID, contact: str, value: str) -> str:
        """Return the keyed hash by which the suppression list knows an address of a tenant. `contact` is `email` or
        `phone`. The case of an email address does not matter."""
        plain = value.lower() if contact == "email" else value
        return self.lookup_hash(hashlib.sha256(f"{tenant}:{contact}:{plain}".encode()).hexdigest())

    def address_hashes(self, tenant: UUID, contact: Json) -> Json:
        """Return the hash of each address in `contact`, or None for an address that is to be cleared."""
        named = [name for name in ("email", "phone") if name in contact]
        return {name: self.address_hash(tenant, name, contact[name]) if contact[name] else None for name in named}


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
    """Return the id of the key that encrypted the value, or None if it is not encrypted."""
    match = STORED_PATTERN.fullmatch(stored) if isinstance(stored, str) else None
    return match[1] if match else None


def _associated_data(owner: SecretOwner, column: str) -> bytes:
    return f"{owner.table}\0{COLUMN_ALIASES.get(column, column)}\0{owner.tenant}\0{owner.id}".encode()


def _derive_key(key: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(key)


def _hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    """Return the inner and outer block of HMAC-SHA256."""
    block = key.ljust(hashlib.sha256().block_size, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
