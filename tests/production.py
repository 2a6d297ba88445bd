"""Define secrets and keys of an installation outside development."""

from secrets import token_hex
from typing import Any

from pydantic import SecretStr

from config import Settings

STRONG_SECRET = "vB9xT2mLr7wJd5ZpNf8Hc1GsUa4k3Yq0EoRi6"
KEYS: dict[str, Any] = {"encryption_keys": f"k1:{token_hex(32)}", "lookup_key": token_hex(32)}
KEY_VARIABLES = {f"TOCSIN_{name.upper()}": value for name, value in KEYS.items()}


def production_settings() -> Settings:
    return Settings(env="production", secret_key=SecretStr(STRONG_SECRET), **KEYS, _env_file=None)
