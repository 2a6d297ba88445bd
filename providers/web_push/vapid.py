"""Identify this installation to push services (VAPID, RFC 8292), by a key pair that browsers subscribe with."""

import time

import jwt
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from providers.web_push.base64url import decode_base64url, encode_base64url

KEY_BYTES = 32
# Seconds. A token may be valid for 24 hours; half of that allows for wrong clocks.
LIFETIME = 12 * 3_600
RENEW_AFTER = 6 * 3_600
MAX_ORIGINS = 1_000


class Vapid:
    """Sign and cache a token for each push service. `subject` is where its operator can reach ours."""

    def __init__(self, private_key: str, subject: str) -> None:
        self._key = load_private_key(private_key)
        self._subject = subject
        self.public_key = public_key_of(self._key)
        self._tokens: TTLCache[str, str] = TTLCache(MAX_ORIGINS, RENEW_AFTER, time.time)

    def authorization(self, origin: str) -> str:
        """Return the header for the push service with this origin."""
        token = self._tokens.get(origin)
        if token is None:
            claims = {"aud": origin, "exp": int(time.time()) + LIFETIME, "sub": self._subject}
            token = self._tokens[origin] = jwt.encode(claims, self._key, algorithm="ES256")
        return f"vapid t={token}, k={self.public_key}"


def new_private_key() -> str:
    """Return a new private key in the format of the setting: the 32 bytes of the number, as base64url."""
    number = generate_private_key(SECP256R1()).private_numbers().private_value
    return encode_base64url(number.to_bytes(KEY_BYTES))


def load_private_key(text: str) -> EllipticCurvePrivateKey:
    """Load a private key of that format. Raise ValueError, which never quotes the key."""
    try:
        number = decode_base64url(text)
        if len(number) == KEY_BYTES:
            return derive_private_key(int.from_bytes(number), SECP256R1())
    except ValueError:
        pass
    raise ValueError("must be 32 bytes as base64url; `tocsin keys vapid` prints a new key")


def public_key_of(key: EllipticCurvePrivateKey) -> str:
    """Return the public key as browsers take it (`applicationServerKey`)."""
    return encode_base64url(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
