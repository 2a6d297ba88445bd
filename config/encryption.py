"""Define the settings of the keys that encrypt secrets at rest. Keys are 32 bytes in hexadecimal."""

import re
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from config.sources import PREFIX, EnvironmentSettings

KEY_PATTERN = re.compile(r"([a-z0-9_-]{1,32}):([0-9a-fA-F]{64})")
HEX_KEY_PATTERN = re.compile(r"[0-9a-fA-F]{64}")
MIN_DISTINCT_BYTES = 16  # of 32; random bytes have 30
# For development processes that were not started by `make run`, which creates keys.
DEV_KEY = bytes(range(32))
DEV_KEY_ID = "dev"


class EncryptionSettings(EnvironmentSettings):
    """The first key of `encryption_keys` encrypts, and all of them decrypt. `lookup_key` must never change."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    encryption_keys: SecretStr = SecretStr("")
    lookup_key: SecretStr = SecretStr("")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        written = _split_items(self.encryption_keys)
        keys = [found for item in written if (found := KEY_PATTERN.fullmatch(item))]
        lookup = self.lookup_key.get_secret_value()
        if len(keys) < len(written):
            yield "TOCSIN_ENCRYPTION_KEYS must be a list of id:key, each key 64 hexadecimal digits"
        if len({key[1] for key in keys}) < len(keys):
            yield "TOCSIN_ENCRYPTION_KEYS names an id twice"
        if lookup and not HEX_KEY_PATTERN.fullmatch(lookup):
            yield "TOCSIN_LOOKUP_KEY must be 64 hexadecimal digits"
        if any(map(_is_weak, [key[2] for key in keys] + [lookup] * bool(HEX_KEY_PATTERN.fullmatch(lookup)))):
            yield "TOCSIN_ENCRYPTION_KEYS and TOCSIN_LOOKUP_KEY must be random; create one with: openssl rand -hex 32"

    @property
    def missing_keys(self) -> list[str]:
        given = {"TOCSIN_ENCRYPTION_KEYS": self.encryption_keys, "TOCSIN_LOOKUP_KEY": self.lookup_key}
        return [name for name, value in given.items() if not value.get_secret_value()]

    @property
    def encryption_key_ring(self) -> dict[str, bytes]:
        """Return the keys by id, the encrypting key first. Without the setting, return the development key."""
        pairs = [item.split(":") for item in _split_items(self.encryption_keys)]
        return {id: bytes.fromhex(key) for id, key in pairs} or {DEV_KEY_ID: DEV_KEY}

    @property
    def lookup_key_bytes(self) -> bytes:
        return bytes.fromhex(self.lookup_key.get_secret_value()) or DEV_KEY


def _is_weak(key: str) -> bool:
    return len(set(bytes.fromhex(key))) < MIN_DISTINCT_BYTES


def _split_items(value: SecretStr) -> list[str]:
    return [item.strip() for item in value.get_secret_value().split(",") if item.strip()]
