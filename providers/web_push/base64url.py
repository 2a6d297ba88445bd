"""Encode and decode base64url without padding, in which browsers and RFC 8292 write keys."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode_base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")


def decode_base64url(text: str) -> bytes:
    """Decode text with or without padding. Raise ValueError."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
