"""Simulate Vonage: sends through the Messages API, reports, the balance, and signed callbacks."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from testing.vendors.http import Reply, Request, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

API_KEY, API_SECRET = "abcd1234", "an API secret"
SIGNATURE_SECRET = "a-signature-secret-of-32-or-more-characters"
APPLICATION = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
FROM = "447700900001"
# https://developer.vonage.com/en/api/messages
REQUIRED = {"message_type", "channel", "to", "from", "text"}
OPTIONAL = {"client_ref", "sms", "ttl", "webhook_url", "webhook_version"}
# https://developer.vonage.com/en/api/reports
PARAMETERS = {"account_id", "product", "provider", "direction", "to", "date_start"}


@cache
def application_key(name: str = "ours") -> RSAPrivateKey:
    """Return one of few keys, because each takes time to make."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def problem(kind: str, title: str, detail: str = "") -> dict[str, str]:
    """Return an error: https://developer.vonage.com/en/api-errors"""
    url = "https://developer.vonage.com/api-errors"
    return {"type": f"{url}/{kind}", "title": title, "detail": detail, "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf"}


def sign(secret: str, claims: Mapping[str, Any], algorithm: str = "HS256") -> str:
    """Sign as RFC 7515 describes, without a package."""
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, claims)]
    signed = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class FakeVonage(FakeVendor):
    """Simulate the vendor. `records` are its reports of accepted messages, in pages of `page_size`."""

    name: ClassVar[str] = "vonage"
    settings: ClassVar[Mapping[str, str]] = {"API_KEY": API_KEY, "API_SECRET": API_SECRET, "FROM": FROM}
    url_settings: ClassVar[Sequence[str]] = ("BASE_URL", "ACCOUNT_URL")

    def __init__(
        self, api_secret: str | None = API_SECRET, secret: str = SIGNATURE_SECRET, *, log: VendorLog | None = None
    ) -> None:
        credentials = api_secret and "Basic " + base64.b64encode(f"{API_KEY}:{api_secret}".encode()).decode()
        super().__init__(credentials, log)
        self.secret = secret
        self.records: list[dict[str, str]] = []
        self.page_size = 1_000

    def is_authenticated(self, request: Request) -> bool:
        """Return whether the credentials are right. A send may have the token of an application; other requests need
        the key and the secret."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self.accepts_any or self.is_lookup(request):
            return super().is_authenticated(request)
        try:
            claims = jwt.decode(token, application_key().public_key(), algorithms=["RS256"])
        except jwt.InvalidTokenError:
            return False
        require({"iat", "exp", "jti"} <= set(claims), f"missing claims: {sorted(claims)}")
        return bool(claims["application_id"] == APPLICATION)

    def receipt_settings(self) -> Mapping[str, str]:
        return {"WEBHOOK_SECRET": self.secret}

    def read(self, request: Request) -> VendorMessage:
        require((request.method, request.target) == ("POST", "/v1/messages"), "it is no send")
        message = request.json
        require(REQUIRED <= set(message) <= REQUIRED | OPTIONAL, f"fields: {sorted(message)}")
        require((message["message_type"], message["channel"]) == ("text", "sms"), "it is no SMS")
        require(message["to"].isdigit() and not message["from"].startswith("+"), "a number has a leading +")
        require(20 <= message.get("ttl", 20) <= 604_800, "ttl")
        return VendorMessage(
            reference=message["client_ref"],
            to=f"+{message['to']}",
            message_id=str(uuid4()),
            callback=message["webhook_url"],
        )

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        sent = request.json
        record = {"message_id": message.message_id, "client_ref": sent["client_ref"]}
        state = {"direction": "outbound", "provider": "sms", "status": "submitted", "currency": "EUR"}
        at = datetime.now(UTC).isoformat(timespec="seconds")
        place = {"from": sent["from"], "to": sent["to"], "date_received": at, "total_price": "0.0333"}
        self.records.append(record | state | place)
        return Reply(status=202, body={"message_uuid": message.message_id})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return Reply(status=429, body=problem("messages#1000", "Throttled"), headers={"Retry-After": "7"})
        if mode is VendorMode.BREAKS:
            return Reply(status=401, body=problem("#unauthorized", "You did not provide correct credentials."))
        detail = "The `to` parameter is invalid for the given channel: 4477"
        return Reply(status=422, body=problem("messages#1430", "Invalid recipient", detail))

    def look_up(self, request: Request) -> Reply:
        if request.target == "/account/get-balance":
            return Reply(status=200, body={"value": 29.18202293, "autoReload": False})
        query = request.query
        require(request.path == "/v2/reports/records" and set(query) == PARAMETERS, f"it is no report: {query}")
        require((query["product"], query["direction"], query["provider"]) == ("MESSAGES", "outbound", "sms"), "product")
        require(query["account_id"] == _account_of(request), "another account")
        start = datetime.fromisoformat(query["date_start"])
        found = [each for each in self.records if each["to"] == query["to"] and _received_at(each) >= start]
        page = {"request_status": "SUCCESS", "records": found[: self.page_size], "items_count": len(found)}
        links = {"next": {"href": f"{self.url}{request.path}?cursor=MTY0"}} if len(found) > self.page_size else {}
        return Reply(status=200, body=page | {"_links": links})

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """https://developer.vonage.com/en/api/messages#message-status"""
        numbers = {"to": message.to.removeprefix("+"), "from": FROM, "channel": "sms"}
        fields = {"message_uuid": message.message_id, "client_ref": message.reference, **numbers}
        usage = {"currency": "EUR", "price": "0.0333"}
        return json.dumps({**fields, "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "status": event, "usage": usage}).encode()

    def inbound_body(self, sender: str, text: str) -> bytes:
        """https://developer.vonage.com/en/api/messages#inbound-message"""
        numbers = {"to": FROM, "from": sender.removeprefix("+"), "channel": "sms"}
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        usage = {"currency": "EUR", "price": "0.0057"}
        origin = {"sms": {"num_messages": "1"}, "origin": {"network_code": "23410"}}
        fields = {"message_uuid": str(uuid4()), **numbers, "timestamp": at, "text": text, "usage": usage}
        return json.dumps(fields | origin).encode()

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        """https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks"""
        account = {"iss": "Vonage", "api_key": API_KEY, "application_id": APPLICATION}
        claims = {"iat": int(at.timestamp()), "jti": str(uuid4()), "payload_hash": hashlib.sha256(body).hexdigest()}
        return {"authorization": f"Bearer {sign(self.secret, account | claims)}"}


def _account_of(request: Request) -> str:
    credentials = request.headers["authorization"].removeprefix("Basic ")
    return base64.b64decode(credentials).decode().partition(":")[0]


def _received_at(record: Mapping[str, str]) -> datetime:
    return datetime.fromisoformat(record["date_received"])
