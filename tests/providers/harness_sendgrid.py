"""Simulate SendGrid for the contract suite and SendGrid's own tests."""

import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from domain.channels import Channel
from domain.messages import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.sendgrid.adapter import SIGNATURE_HEADER, TIMESTAMP_HEADER, SendGrid, SendGridSettings
from providers.sendgrid.lookup import REFERENCE
from providers.transport import Transport
from storage.database import Database
from tests.providers.harness import Bench, ContractCase, Harness
from tests.providers.harness_http import FakeVendor, HttpBench, Reply, Request, VendorMode, running_vendor

API_KEY = "SG.test.key"
OWN_KEY, FOREIGN_KEY = (generate_private_key(SECP256R1()) for _ in range(2))


def shown(key: EllipticCurvePrivateKey) -> str:
    """Return the public key as the vendor's page shows it: base64 of DER, without the PEM lines."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


QUERY = re.compile(rf"\(unique_args\['{REFERENCE}'\]=\"([0-9a-f-]{{36}})\"\)")


class FakeSendGrid(FakeVendor):
    """Simulate the vendor. `activity` is its Email Activity, by attempt id; `scopes` are those of the key."""

    def __init__(self) -> None:
        super().__init__()
        self.activity: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.scopes = ["mail.send", "sender_verification_eligible"]
        self.entitled = True

    def read(self, request: Request) -> tuple[str, VendorMode]:
        assert (request.method, request.target) == ("POST", "/v3/mail/send")
        assert request.headers["authorization"] == f"Bearer {API_KEY}"
        mail = request.json
        fields = {"from", "subject", "personalizations", "content", "custom_args", "headers"}
        assert set(mail) - {"categories"} == fields | {"tracking_settings"}
        assert mail["from"] == {"email": "shop@example.com", "name": "The shop, Ltd"}
        [[to]] = [person["to"] for person in mail["personalizations"]]
        assert {part["type"] for part in mail["content"]} <= {"text/plain", "text/html"}
        assert all(part["value"] for part in mail["content"])
        return str(UUID(mail["custom_args"][REFERENCE])), VendorMode(to["email"].split("@")[0].partition("+")[2])

    def accepted(self, reference: str, request: Request) -> Reply:
        message_id = uuid4().hex
        [[to]] = [person["to"] for person in request.json["personalizations"]]
        lookup_reply = {
            "from_email": "shop@example.com",
            "to_email": to["email"],
            "subject": "Hi",
            "status": "processed",
        }
        self.activity[reference].append({**lookup_reply, "msg_id": f"{message_id}.recvd-5f-1.0"})
        return Reply(status=202, headers={"X-Message-Id": message_id})

    def lookup_reply(self, request: Request) -> Reply:
        if request.headers["authorization"] != f"Bearer {API_KEY}":
            return self.refused(VendorMode.BREAKS)
        path, _, query = request.target.partition("?")
        if path == "/v3/scopes":
            return Reply(status=200, body={"scopes": self.scopes})
        assert path == "/v3/messages"
        if not self.entitled:
            return Reply(status=403, body={"errors": [{"field": None, "message": "access forbidden"}]})
        parameters = dict(parse_qsl(query, strict_parsing=True))
        assert set(parameters) == {"query", "limit"}
        match = QUERY.fullmatch(parameters["query"])
        assert match
        return Reply(status=200, body={"messages": self.activity[match[1]][: int(parameters["limit"])]})

    def refused(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return Reply(status=429, headers={"X-RateLimit-Reset": str(int(time.time()) + 30)})
        if mode is VendorMode.BREAKS:
            return Reply(status=401, body={"errors": [{"message": "authorization grant is invalid", "field": None}]})
        field = "personalizations.0.to.0.email"
        return Reply(status=400, body={"errors": [{"message": "Does not contain a valid address.", "field": field}]})


class SendGridBench(HttpBench):
    channel = Channel.EMAIL
    content = {"subject": "Hi", "html": "<p>Grüße</p>", "text": "Grüße"}
    vendor: FakeSendGrid

    def __init__(self, vendor: FakeSendGrid, transport: Transport) -> None:
        self.vendor = vendor
        self.transport = transport
        self.settings = SendGridSettings(
            api_key=SecretStr(API_KEY),
            sender="shop@example.com",
            from_name="The shop, Ltd",
            base_url=vendor.url,
            webhook_public_key=shown(OWN_KEY),
        )
        self.provider = self._with()

    def _with(self, **changed: Any) -> SendGrid:
        return SendGrid(self.settings.model_copy(update=changed), self.transport)

    def bad_credentials(self) -> SendGrid:
        return self._with(api_key=SecretStr("SG.another.key"))

    def unreachable(self) -> SendGrid:
        return self._with(base_url="http://127.0.0.1:1")

    def address(self, mode: VendorMode) -> dict[str, str]:
        return {"email": f"ada+{mode}@example.com"}

    def report(self, word: str, message: OutgoingMessage, message_id: str, at: datetime) -> bytes:
        event = {
            "email": message.address["email"],
            "event": word,
            "timestamp": int(at.timestamp()),
            "sg_event_id": uuid4().hex,
            "sg_message_id": f"{message_id}.recvd-5f-1.0",
            REFERENCE: str(message.attempt_id),
        }
        return json.dumps([event]).encode() + b"\r\n"

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        timestamp = str(int(at.timestamp()))
        signature = (OWN_KEY if genuine else FOREIGN_KEY).sign(timestamp.encode() + body, ECDSA(SHA256()))
        return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: base64.b64encode(signature).decode()}


@asynccontextmanager
async def sendgrid_bench() -> AsyncIterator[SendGridBench]:
    vendor = FakeSendGrid()
    async with running_vendor(vendor) as transport:
        yield SendGridBench(vendor, transport)


class SendGridHarness(Harness):
    # The status alone is the response.
    after_error = {**Harness.after_error, ContractCase.MALFORMS: CallResult.ACCEPTED}

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with sendgrid_bench() as bench:
            yield bench
