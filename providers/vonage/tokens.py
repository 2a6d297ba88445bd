"""Build the tokens (JWT) with which an application authenticates to Vonage, and verify those of its callbacks.

Used by `vonage`.
"""

import hashlib
import hmac
import time
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from providers.base import ForgedReceipt

# Seconds. Each token is used once.
LIFETIME = 300
# https://api.support.vonage.com/hc/en-us/articles/360028543292: Vonage repeats a callback for 24 hours, and does not
# document whether with a new token. A repeated receipt is stored once.
CALLBACK_LIFETIME = 86_400
CLOCK_SKEW = 300


def read_private_key(pem: str) -> RSAPrivateKey:
    """Parse a private key. Raise ValueError, without the text, if it is not an unencrypted RSA key in PEM format."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (TypeError, ValueError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key in PEM format")
    return key


def build_token(application_id: str, key: RSAPrivateKey) -> str:
    """https://developer.vonage.com/en/getting-started/concepts/authentication#json-web-tokens"""
    now = int(time.time())
    claims = {"application_id": application_id, "iat": now, "exp": now + LIFETIME, "jti": str(uuid4())}
    return jwt.encode(claims, key, algorithm="RS256")


def verify_callback(authorization: str, body: bytes, secret: str) -> None:
    """Raise ForgedReceipt unless the token is signed with the secret, at most a day old, and made for this body.

    https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
    """
    if not secret:
        raise ForgedReceipt("TOCSIN_VONAGE_WEBHOOK_SECRET is not set")
    try:
        claims = jwt.decode(
            authorization.removeprefix("Bearer "),
            secret,
            algorithms=["HS256"],
            leeway=CLOCK_SKEW,
            options={"require": ["iat", "payload_hash"]},
        )
    except jwt.InvalidTokenError as error:
        raise ForgedReceipt(f"the token is missing or not valid: {type(error).__name__}") from error
    if time.time() - int(claims["iat"]) > CALLBACK_LIFETIME:
        raise ForgedReceipt("the token is older than a day by the clock of this machine")
    if not hmac.compare_digest(str(claims["payload_hash"]).encode(), hashlib.sha256(body).hexdigest().encode()):
        raise ForgedReceipt("the token was made for another body")
