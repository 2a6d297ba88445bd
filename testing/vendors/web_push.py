"""Simulate a push service and the browser behind it. It verifies the token, and decrypts with another library."""

import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from testing.vendors.http import Reply, Request, UndocumentedRequest, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

VAPID = re.compile(
    r"vapid t=(?P<token>(?P<signed>[\w-]+\.(?P<claims>[\w-]+))\.(?P<signature>[\w-]+)), k=(?P<key>[\w-]+)"
)
TOPIC = re.compile(r"[\w-]{1,32}")
URGENCIES = {"very-low", "low", "normal", "high"}
BODY_LIMIT = 4_096
DAY = 86_400


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")


class FakeWebPush(FakeVendor):
    """Accept messages for one browser, whose subscriptions have different endpoints.

    `public_key` is the one that the browser subscribed with, None for any. `shown` are the messages as the browser gets
    them, `tokens` the different tokens of their requests. The browser's report of a shown message is its receipt.
    """

    name: ClassVar[str] = "web_push"

    def __init__(
        self,
        public_key: str | None = None,
        *,
        browser_key: EllipticCurvePrivateKey | None = None,
        secret: bytes | None = None,
        log: VendorLog | None = None,
    ) -> None:
        super().__init__(None, log)
        self.public_key = public_key
        self.shown: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self._browser_key = browser_key or generate_private_key(SECP256R1())
        self._secret = secret or uuid4().bytes

    def subscription(self, name: str) -> dict[str, Any]:
        """Return what the browser gives to the site."""
        point = self._browser_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": encoded(point), "auth": encoded(self._secret)}
        return {"endpoint": f"{self.url}/push/{name}", "keys": keys}

    def is_authenticated(self, request: Request) -> bool:
        """Verify the token: https://www.rfc-editor.org/rfc/rfc8292#section-2"""
        vapid = VAPID.fullmatch(request.headers.get("authorization", ""))
        if vapid is None or self.public_key not in (None, vapid["key"]):
            return False
        self.tokens.add(vapid["token"])
        claims = json.loads(decoded(vapid["claims"]))
        require(claims["aud"] == f"http://{request.headers['host']}", f"a token for {claims['aud']}")
        require(0 < claims["exp"] - time.time() <= DAY, "the lifetime of the token")
        require(claims["sub"].startswith(("mailto:", "https://")), "the subject of the token")
        signature = decoded(vapid["signature"])
        numbers = [int.from_bytes(half) for half in (signature[:32], signature[32:])]
        key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decoded(vapid["key"]))
        try:
            key.verify(encode_dss_signature(*numbers), vapid["signed"].encode(), ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def read(self, request: Request) -> VendorMessage:
        headers = request.headers
        require(request.method == "POST", "it is no POST")
        require(headers["content-encoding"] == "aes128gcm", "another encryption")
        require(len(request.body) <= BODY_LIMIT, "the body is too large")
        require(0 <= int(headers["ttl"]) <= 28 * DAY, "the TTL")
        require(headers["urgency"] in URGENCIES, "the urgency")
        require(TOPIC.fullmatch(headers["topic"]) is not None, "the topic")
        content = json.loads(self._decrypt(request.body))
        self.shown.append(content)
        return VendorMessage(
            reference=content["delivery_id"],
            to=request.target,
            message_id=uuid4().hex,
            callback=f"{content['report_url']}/delivered" if "report_url" in content else "",
            content=content,
        )

    def _decrypt(self, body: bytes) -> bytes:
        try:
            return bytes(
                http_ece.decrypt(body, private_key=self._browser_key, auth_secret=self._secret, version="aes128gcm")
            )
        except http_ece.ECEException as error:
            raise UndocumentedRequest(f"it is not encrypted for this browser: {error}") from error

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        return b""

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        return {}  # The URL, which the message contains, is signed.

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        return Reply(status=201, headers={"location": f"{self.url}/message/{message.message_id}"})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return Reply(status=429, headers={"Retry-After": "1"})
        return Reply(status=403 if mode is VendorMode.BREAKS else 410)
