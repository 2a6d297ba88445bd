"""Write small private files in the data directory: atomically, readable by their owner only."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

API_KEY_PREFIX = "tk_dev_"


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically with mode 0600: a reader sees the old or the new text."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_or_create_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret in `path`, and create it the first time."""
    if path.exists() and (secret := path.read_text(encoding="utf-8").strip()):
        path.chmod(0o600)  # a copied file may have wider permissions
        return secret
    secret = make()
    write_private(path, f"{secret}\n")
    return secret


def generate_secret() -> str:
    return secrets.token_urlsafe(32)


def generate_api_key() -> str:
    """Return 24 random bytes as 32 url-safe characters."""
    return API_KEY_PREFIX + secrets.token_urlsafe(24)


def generate_key() -> str:
    """Return 32 random bytes in hexadecimal."""
    return secrets.token_hex(32)


def generate_key_ring() -> str:
    return f"dev1:{generate_key()}"
