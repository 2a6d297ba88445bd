"""Simulate APNs over HTTP/2 and TLS, for one team, one key and one app."""

import ssl
import time
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers.apns.adapter import CHECK_TOKEN
from testing.vendors.http import HOST, Reply, Request, require
from testing.vendors.http2 import Http2Listener
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

TEAM_ID, KEY_ID, TOPIC = "TEAM000001", "KEY0000001", "com.example.shop"
# https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
MAX_AGE = 3_600
DEVICE_PATH = "/3/device/"


def new_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def pem_of(key: EllipticCurvePrivateKey) -> str:
    """Return the key in the format of Apple's .p8 file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def error(status: int, reason: str, **more: Any) -> Reply:
    """Return an error: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns"""
    return Reply(status=status, body={"reason": reason, **more})


class FakeApns(Http2Listener, FakeVendor):
    """Simulate the vendor. `tokens` are the provider tokens that it got, in their order. Without a key it accepts every
    token and topic. `expired` are tokens that it refuses as expired.
    """

    name: ClassVar[str] = "apns"

    def __init__(
        self, key: EllipticCurvePrivateKey | None, tls: ssl.SSLContext | None = None, *, log: VendorLog | None = None
    ) -> None:
        super().__init__("", log)
        self.key = key
        if tls is not None:
            self.tls = tls
        self.connections = []
        self.tokens: list[str] = []
        self.expired: set[str] = set()
        self._token_problem = ""

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    def is_authenticated(self, request: Request) -> bool:
        self._token_problem = self._find_token_problem(request.headers.get("authorization", ""))
        return not self._token_problem

    def _find_token_problem(self, authorization: str) -> str:
        scheme, _, token = authorization.partition(" ")
        if scheme != "bearer":
            return "MissingProviderToken"
        if token not in self.tokens:
            self.tokens.append(token)
        if self.key is None:
            return ""
        try:
            options: Any = {"require": ["iss", "iat"], "verify_iat": False}
            claims = jwt.decode(token, self.key.public_key(), algorithms=["ES256"], issuer=TEAM_ID, options=options)
        except jwt.InvalidTokenError:
            return "InvalidProviderToken"
        if jwt.get_unverified_header(token).get("kid") != KEY_ID:
            return "InvalidProviderToken"
        age = time.time() - claims["iat"]
        return "ExpiredProviderToken" if token in self.expired or not 0 <= age <= MAX_AGE else ""

    def is_lookup(self, request: Request) -> bool:
        return request.path == DEVICE_PATH + CHECK_TOKEN

    def look_up(self, request: Request) -> Reply:
        self._check_request(request)
        return error(400, "BadDeviceToken")

    def _check_request(self, request: Request) -> None:
        require(request.method == "POST" and request.path.startswith(DEVICE_PATH), "it is no send")
        require(request.headers["apns-topic"] == TOPIC or self.key is None, "apns-topic")
        require(request.headers["apns-push-type"] == "alert", "apns-push-type")
        require(len(request.body) <= 4_096, "the payload is too large")
        require(request.json["aps"]["alert"], "aps.alert")

    def read(self, request: Request) -> VendorMessage:
        self._check_request(request)
        headers = request.headers
        require(headers["apns-priority"] in ("10", "5"), "apns-priority")
        require(headers["apns-expiration"].isdecimal(), "apns-expiration")
        require(len(headers["apns-collapse-id"].encode()) <= 64, "apns-collapse-id")
        reference = str(UUID(headers["apns-id"]))
        to = unquote(request.path.removeprefix(DEVICE_PATH))
        return VendorMessage(reference=reference, to=to, message_id=reference)

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        return Reply(status=200, headers={"apns-id": message.message_id})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return error(429, "TooManyRequests")
        if mode is VendorMode.BREAKS:
            return error(403, self._token_problem or "InvalidProviderToken")
        return error(410, "Unregistered", timestamp=int(time.time() * 1_000))
