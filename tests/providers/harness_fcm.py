"""Simulate FCM, including its token endpoint, for the contract suite and FCM's own tests."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import crypt, jwt
from pydantic import SecretStr

from domain.channels import Channel
from providers.access_tokens import GRANT_TYPE
from providers.fcm import CHECK_TOPIC, SCOPE, Fcm, FcmSettings
from providers.transport import Transport
from storage.database import Database
from tests.providers.harness import NOT_FOUND, Bench, ContractCase, Harness
from tests.providers.harness_http import FakeVendor, HttpBench, Reply, Request, VendorMode, running_vendor

SAMPLES = Path(__file__).parent / "payloads" / "fcm"
ACCOUNT = "sender@shop.iam.gserviceaccount.com"
STATUS = {"invalid_token": 400, "invalid_argument": 400, "unauthenticated": 401, "sender_mismatch": 403} | {
    "unregistered": 404,
    "quota_exceeded": 429,
    "internal": 500,
    "unavailable": 503,
}


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


@cache
def key(whose: str) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def service_account(vendor_url: str, signs_with: str = "ours") -> str:
    pem = key(signs_with).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    words = {"type": "service_account", "project_id": "shop", "private_key_id": "k1", "private_key": pem}
    return json.dumps({**words, "client_email": ACCOUNT, "token_uri": f"{vendor_url}/not-used"})


class FakeFcm(FakeVendor):
    """Simulate the vendor. `tokens` are the issued ones; only the last one is valid."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []
        self.token_reply: Reply | None = None
        self.lasts = 3600

    def extra_reply(self, request: Request) -> Reply | None:
        if request.target != "/token":
            return None
        try:
            if not self._signed_by_us(request):
                return Reply(status=400, body={"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        except (AssertionError, ValueError, KeyError) as error:
            self.complaints.append(repr(error))
            return Reply(status=400)
        self.tokens.append(uuid4().hex)
        lookup_reply = {"access_token": self.tokens[-1], "expires_in": self.lasts, "token_type": "Bearer"}
        return self.token_reply or Reply(status=200, body=lookup_reply)

    def _signed_by_us(self, request: Request) -> bool:
        form = request.form
        assert form["grant_type"] == GRANT_TYPE
        public = key("ours").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        verifier = crypt.RSAVerifier.from_string(public)  # type: ignore[no-untyped-call]
        assertion = form["assertion"]
        signed, _, signature = assertion.rpartition(".")
        claims = jwt.decode(assertion, verify=False)  # type: ignore[no-untyped-call]
        padded = signature + "=" * (-len(signature) % 4)
        assert (claims["iss"], claims["scope"], claims["aud"]) == (ACCOUNT, SCOPE, f"{self.url}/token")
        return bool(verifier.verify(signed.encode(), base64.urlsafe_b64decode(padded)))

    def is_lookup(self, request: Request) -> bool:
        return bool(request.json.get("validate_only"))

    def lookup_reply(self, request: Request) -> Reply:
        assert request.headers["authorization"] == f"Bearer {self.tokens[-1]}"
        assert request.json["message"] == {"topic": CHECK_TOPIC, "notification": {"title": "Tocsin"}}
        if request.target != "/v1/projects/shop/messages:send":
            return Reply(status=403, body={"error": {"code": 403, "status": "PERMISSION_DENIED"}})
        return Reply(status=200, body={"name": "projects/shop/messages/fake_message_id"})

    def read(self, request: Request) -> tuple[str, VendorMode]:
        assert (request.method, request.target) == ("POST", "/v1/projects/shop/messages:send")
        assert request.headers["authorization"] == f"Bearer {self.tokens[-1]}"
        assert set(request.json) == {"message"}
        message = request.json["message"]
        assert set(message) == {"token", "notification", "data", "android", "apns"}
        assert message["notification"] == {"title": "Hi", "body": "Grüße"}
        assert set(message["data"]) == {"notification_id", "attempt_id"}
        tag = message["android"]["notification"]["tag"]
        assert message["apns"]["headers"]["apns-collapse-id"] == str(UUID(tag))
        assert message["android"]["priority"] in ("high", "normal")
        assert message["apns"]["headers"]["apns-priority"] in ("10", "5")
        return str(UUID(message["data"]["attempt_id"])), VendorMode(message["token"].partition(":")[2])

    def accepted(self, reference: str, request: Request) -> Reply:
        return Reply(status=200, body={"name": f"projects/shop/messages/{uuid4().hex}"})

    def refused(self, mode: VendorMode) -> Reply:
        name = {VendorMode.THROTTLES: "quota_exceeded", VendorMode.BREAKS: "unauthenticated"}.get(mode, "unregistered")
        return Reply(status=STATUS[name], body=sample(name))


class FcmBench(HttpBench):
    channel = Channel.PUSH
    content = {"title": "Hi", "body": "Grüße"}
    vendor: FakeFcm

    def __init__(self, vendor: FakeFcm, transport: Transport) -> None:
        self.vendor = vendor
        self.transport = transport
        self.provider = self._with()

    def _with(self, **changed: Any) -> Fcm:
        given: dict[str, Any] = {
            "credentials": SecretStr(service_account(self.vendor.url)),
            "base_url": self.vendor.url,
            "token_url": f"{self.vendor.url}/token",
        }
        return Fcm(FcmSettings(**(given | changed)), self.transport)

    def bad_credentials(self) -> Fcm:
        return self._with(credentials=SecretStr(service_account(self.vendor.url, signs_with="another")))

    def unreachable(self) -> Fcm:
        return self._with(base_url="http://127.0.0.1:1", token_url="http://127.0.0.1:1/token")

    def address(self, mode: VendorMode) -> dict[str, str]:
        return {"token": f"device:{mode}"}


@asynccontextmanager
async def fcm_bench() -> AsyncIterator[FcmBench]:
    vendor = FakeFcm()
    async with running_vendor(vendor) as transport:
        yield FcmBench(vendor, transport)


class FcmHarness(Harness):
    without = {
        ContractCase.REPORTS: "it has no receipts for servers",
        ContractCase.SIGNS_BODY: "it has no receipts",
        ContractCase.SIGNS_TIME: "it has no receipts",
        **NOT_FOUND,
    }

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with fcm_bench() as bench:
            yield bench
