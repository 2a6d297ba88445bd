"""Verify the signature of SendGrid's Event Webhook. Used by `adapter`."""

import base64
import time
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from config.sources import InvalidSettings
from providers.base import ForgedReceipt

SIGNATURE_HEADER = EventWebhookHeader.SIGNATURE.lower()
TIMESTAMP_HEADER = EventWebhookHeader.TIMESTAMP.lower()
# SendGrid documents no time window; this is the one of Standard Webhooks. A repeated callback has no effect anyway.
TIMESTAMP_TOLERANCE = 300


def load_public_key(text: str) -> EllipticCurvePublicKey | None:
    """Return the key, or None without one. Raises InvalidSettings."""
    try:
        key = EventWebhook(text).public_key
    except ValueError:
        key = text
    if key and not isinstance(key, EllipticCurvePublicKey):
        raise InvalidSettings("TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY is not the key that SendGrid shows")
    return key or None


def verify(key: EllipticCurvePublicKey | None, headers: Mapping[str, str], body: bytes) -> None:
    """Verify the signature over the raw bytes, including the CRLF at their end. The package's own check expects text.

    Raises ForgedReceipt.
    """
    timestamp, signature = headers.get(TIMESTAMP_HEADER, ""), headers.get(SIGNATURE_HEADER, "")
    if key is None:
        raise ForgedReceipt("TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
    if not signature:
        raise ForgedReceipt("the signature is missing")
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
        age = time.time() - int(timestamp[:12])
    except (InvalidSignature, ValueError) as error:
        raise ForgedReceipt("the signature does not match") from error
    if abs(age) > TIMESTAMP_TOLERANCE:
        raise ForgedReceipt("the timestamp differs by more than five minutes from the clock of this machine")
