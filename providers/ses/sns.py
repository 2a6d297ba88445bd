"""Verify the callbacks of Amazon SNS and confirm its subscriptions. Used by `ses`.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import asyncio
import base64
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509 import load_pem_x509_certificate

from providers.base import ForgedReceipt, UnreadableReceipt, read_json
from providers.outcomes import TemporaryError
from providers.transport import Transport, VendorResponse
from providers.vendor_queries import query_timeout

log = structlog.get_logger(__name__)

NOTIFICATION, SUBSCRIPTION, UNSUBSCRIPTION = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"
CONFIRMATION_FIELDS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
# By type, in the order of the signed string. Only `Subject` may be missing.
SIGNED_FIELDS: Mapping[str, tuple[str, ...]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: CONFIRMATION_FIELDS,
    UNSUBSCRIPTION: CONFIRMATION_FIELDS,
}
SIGNATURE_FIELDS = ("Signature", "SignatureVersion", "SigningCertURL")
HASHES: Mapping[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}
CERTIFICATE_PATH = re.compile(r"/[A-Za-z0-9_-]{1,100}\.pem")
MAX_KEYS = 8
KEY_LIFETIME = 86_400.0
REQUEST_TIMEOUT = 5.0
# A repeated callback has its first time, and repeats end after an hour:
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
MAX_AGE = timedelta(hours=1, minutes=5)
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)

SnsMessage = Mapping[str, str]


class SnsCallbacks:
    """Verify callbacks of these topics. `origin` is the address of SNS in their region: certificates and subscriptions
    of any other host are refused.
    """

    def __init__(self, origin: str, topics: frozenset[str], transport: Transport) -> None:
        self._origin = origin
        self._topics = topics
        self._transport = transport
        # With the time of the fetch. Replaced as a whole, because another thread may verify a large callback.
        self._keys: Mapping[str, tuple[RSAPublicKey, float]] = {}
        # One fetch at a time, whatever the number of forged callbacks.
        self._fetching = asyncio.Lock()

    async def prepare(self, body: bytes) -> None:
        """Fetch the key of this callback, and confirm a subscription if it is genuine."""
        message = self._read(body)
        await self._fetch_key(message["SigningCertURL"])
        if message["Type"] == SUBSCRIPTION:
            self._verify(message)
            await self._confirm(message["SubscribeURL"])

    def verify(self, body: bytes) -> str | None:
        """Return the text of a genuine notification, or None for a callback about the subscription."""
        message = self._read(body)
        self._verify(message)
        if message["Type"] == UNSUBSCRIPTION:
            log.warning("the topic has no subscription any more: no receipts arrive", provider="ses")
        return message["Message"] if message["Type"] == NOTIFICATION else None

    def _read(self, body: bytes) -> SnsMessage:
        try:
            message = read_json(body)
        except UnreadableReceipt as error:
            raise ForgedReceipt("the body has no signature") from error
        fields = SIGNED_FIELDS.get(str(message.get("Type"))) if isinstance(message, dict) else None
        if fields is None:
            raise ForgedReceipt("the body is not a message of Amazon SNS")
        required = {*fields, *SIGNATURE_FIELDS} - {"Subject"}
        if not all(isinstance(message.get(name), str) for name in required):
            raise ForgedReceipt("a signed field or the signature is missing")
        if message["TopicArn"] not in self._topics:
            raise ForgedReceipt("the topic is not in TOCSIN_SES_TOPIC_ARN")
        return dict(message)

    def _verify(self, message: SnsMessage) -> None:
        key, _ = self._keys.get(message["SigningCertURL"], (None, 0.0))
        algorithm = HASHES.get(message["SignatureVersion"])
        if key is None or algorithm is None:
            raise ForgedReceipt("the certificate or the version of the signature is not known")
        try:
            signature = base64.b64decode(message["Signature"], validate=True)
            key.verify(signature, build_signed_text(message), PKCS1v15(), algorithm())
            age = datetime.now(UTC) - datetime.fromisoformat(message["Timestamp"])
        except (InvalidSignature, ValueError, TypeError) as error:
            raise ForgedReceipt("the signature does not match") from error
        if not -MAX_CLOCK_DIFFERENCE <= age <= MAX_AGE:
            raise ForgedReceipt("the message is older than an hour, or from the future")

    async def _fetch_key(self, url: str) -> None:
        if not (url.startswith(self._origin) and CERTIFICATE_PATH.fullmatch(url.removeprefix(self._origin))):
            raise ForgedReceipt("the certificate is not one of Amazon SNS in this region")
        if url in self._known_keys():  # forged callbacks, which hold the lock, do not delay genuine ones
            return
        async with self._fetching:
            if url not in (known := self._known_keys()):
                key = load_key((await self._get(url)).body)
                self._keys = dict(list(known.items())[1 - MAX_KEYS :]) | {url: (key, time.monotonic())}

    def _known_keys(self) -> dict[str, tuple[RSAPublicKey, float]]:
        return {url: kept for url, kept in self._keys.items() if time.monotonic() - kept[1] < KEY_LIFETIME}

    async def _confirm(self, url: str) -> None:
        if not url.startswith(f"{self._origin}/"):
            raise ForgedReceipt("the subscription is not one of Amazon SNS in this region")
        await self._get(url)
        log.info("subscription to the topic confirmed", provider="ses")

    async def _get(self, url: str) -> VendorResponse:
        async with query_timeout(REQUEST_TIMEOUT):
            http_response = await self._transport.get(url)
        if 400 <= http_response.status < 500:
            raise ForgedReceipt("Amazon SNS does not know the certificate or the subscription")
        if http_response.status != 200:
            raise TemporaryError("unavailable", {"status": http_response.status})
        return http_response


def build_signed_text(message: Mapping[str, Any]) -> bytes:
    present = [name for name in SIGNED_FIELDS[message["Type"]] if message.get(name) is not None]
    return "".join(f"{name}\n{message[name]}\n" for name in present).encode()


def load_key(certificate: bytes) -> RSAPublicKey:
    """Return the key of a certificate that is valid today."""
    try:
        parsed = load_pem_x509_certificate(certificate)
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ForgedReceipt("the certificate is not readable") from error
    if not isinstance(key, RSAPublicKey):
        raise ForgedReceipt("the certificate has no RSA key")
    if not parsed.not_valid_before_utc <= datetime.now(UTC) <= parsed.not_valid_after_utc:
        raise ForgedReceipt("the certificate is not valid today")
    return key
