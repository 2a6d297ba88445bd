"""Encrypt a message for one browser (RFC 8291) as one record of the content encoding aes128gcm (RFC 8188)."""

import os

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.json_types import Json
from providers.web_push.base64url import decode_base64url

# Every push service takes a body of so many bytes: https://www.rfc-editor.org/rfc/rfc8030#section-7.2
BODY_LIMIT = 4_096
SALT_BYTES = 16
AUTH_BYTES = 16
POINT_BYTES = 65
# The header (salt, record size, length of the key, key), the delimiter and the tag of AES-GCM.
OVERHEAD = SALT_BYTES + 4 + 1 + POINT_BYTES + 1 + 16
PLAINTEXT_LIMIT = BODY_LIMIT - OVERHEAD
LAST_RECORD = b"\x02"


class InvalidKeys(ValueError):
    """Signal that the keys of a subscription are not a point of P-256 and a secret of 16 bytes."""


def encrypt(
    plaintext: bytes, keys: Json, *, sender: EllipticCurvePrivateKey | None = None, salt: bytes | None = None
) -> bytes:
    """Return the body of a request. `keys` are `p256dh` and `auth` of the subscription. Raise InvalidKeys.

    `sender` and `salt` are new for each message, except in the test with the example of RFC 8291.
    """
    browser, secret = _read_keys(keys)
    sender, salt = sender or generate_private_key(SECP256R1()), salt or os.urandom(SALT_BYTES)
    browser_point, sender_point = _point(browser), _point(sender.public_key())
    shared = sender.exchange(ECDH(), browser)
    input_key = _derive(shared, secret, b"WebPush: info\0" + browser_point + sender_point, 32)
    content_key = _derive(input_key, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(input_key, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + BODY_LIMIT.to_bytes(4) + bytes([POINT_BYTES]) + sender_point
    return header + AESGCM(content_key).encrypt(nonce, plaintext + LAST_RECORD, None)


def _read_keys(keys: Json) -> tuple[EllipticCurvePublicKey, bytes]:
    try:
        browser = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decode_base64url(keys["p256dh"]))
        secret = decode_base64url(keys["auth"])
    except ValueError as error:
        raise InvalidKeys from error
    if len(secret) != AUTH_BYTES:
        raise InvalidKeys
    return browser, secret


def _point(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derive(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(key)
