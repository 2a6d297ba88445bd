"""Define the encryption keys of an installation outside development."""

from secrets import token_hex
from typing import Any

KEYS: dict[str, Any] = {"encryption_keys": f"k1:{token_hex(32)}", "lookup_key": token_hex(32)}
KEY_VARIABLES = {f"TOCSIN_{name.upper()}": value for name, value in KEYS.items()}
