"""Simulate SendGrid: sends, the Email Activity, the scopes of the key, and signed events."""

import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.json_types import Json
from providers.sendgrid.lookup import REFERENCE
from providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from testing.vendors.emails import VendorEmail, lower_headers
from testing.vendors.http import Reply, Request, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

API_KEY = "SG.test.key"
QUERY = re.compile(rf"^\(unique_args\['{REFERENCE}'\]=\"([0-9a-f-]{{36}})\"\)$")
# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
REQUIRED = {"from", "subject", "personalizations", "content"}
OPTIONAL = {"headers", "categories", "tracking_settings", "reply_to", "attachments"}
RESERVED_HEADERS = {
    *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
    *("to", "from", "subject", "reply-to", "cc", "bcc"),
}


def shown(key: EllipticCurvePrivateKey) -> str:
    """Return the public key as the vendor's page shows it: base64 of DER, without the PEM lines."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def read_email(mail: Json) -> VendorEmail:
    [person] = mail["personalizations"]
    parts = {part["type"]: part["value"] for part in mail["content"]}
    return VendorEmail(
        sender=_mailbox(mail["from"]),
        to=[each["email"] for each in person["to"]],
        cc=[each["email"] for each in person.get("cc", ())],
        bcc=[each["email"] for each in person.get("bcc", ())],
        reply_to=_mailbox(mail["reply_to"]) if "reply_to" in mail else None,
        subject=mail["subject"],
        text=parts.get("text/plain", ""),
        html=parts.get("text/html", ""),
        headers=lower_headers(mail.get("headers", {}).items()),
        attachments=[
            (each["filename"], each["type"], base64.b64decode(each["content"], validate=True))
            for each in mail.get("attachments", ())
        ],
    )


def _mailbox(field: Json) -> tuple[str, str]:
    return field.get("name", ""), field["email"]


class FakeSendGrid(FakeVendor):
    """Simulate the vendor. `activity` is its Email Activity, by reference; `scopes` are those of the key. `key` signs
    the events.
    """

    name: ClassVar[str] = "sendgrid"
    settings: ClassVar[Mapping[str, str]] = {"API_KEY": API_KEY, "FROM": "shop@example.com"}

    def __init__(
        self,
        api_key: str | None = API_KEY,
        *,
        key: EllipticCurvePrivateKey | None = None,
        log: VendorLog | None = None,
    ) -> None:
        super().__init__(api_key and f"Bearer {api_key}", log)
        self.key = key or generate_private_key(SECP256R1())
        self.activity: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.scopes = ["mail.send", "sender_verification_eligible"]
        self.is_entitled = True

    def receipt_settings(self) -> Mapping[str, str]:
        return {"WEBHOOK_PUBLIC_KEY": shown(self.key)}

    def read(self, request: Request) -> VendorMessage:
        require((request.method, request.target) == ("POST", "/v3/mail/send"), "it is no send")
        mail = request.json
        require(REQUIRED <= set(mail) <= REQUIRED | OPTIONAL, f"undocumented fields: {sorted(mail)}")
        require({part["type"] for part in mail["content"]} <= {"text/plain", "text/html"}, "another type of content")
        require(all(part["value"] for part in mail["content"]), "an empty part")
        [person] = mail["personalizations"]
        [to] = person["to"]
        require(not RESERVED_HEADERS & {name.lower() for name in mail.get("headers", {})}, "a reserved header")
        return VendorMessage(
            reference=person["custom_args"][REFERENCE], to=to["email"], message_id=uuid4().hex, email=read_email(mail)
        )

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        mail = request.json
        record = {"from_email": mail["from"]["email"], "to_email": message.to, "subject": mail["subject"]}
        record |= {"msg_id": f"{message.message_id}.recvd-5f-1.0", "status": "processed"}
        self.activity[message.reference].append(record)
        return Reply(status=202, headers={"X-Message-Id": message.message_id})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            return Reply(status=429, headers={"X-RateLimit-Reset": str(int(time.time()) + 30)})
        if mode is VendorMode.BREAKS:
            return Reply(status=401, body={"errors": [{"message": "authorization grant is invalid", "field": None}]})
        field = "personalizations.0.to.0.email"
        return Reply(status=400, body={"errors": [{"message": "Does not contain a valid address.", "field": field}]})

    def look_up(self, request: Request) -> Reply:
        if request.target == "/v3/scopes":
            return Reply(status=200, body={"scopes": self.scopes})
        require(request.path == "/v3/messages", "it is no query")
        if not self.is_entitled:
            return Reply(status=403, body={"errors": [{"field": None, "message": "access forbidden"}]})
        parameters = request.query
        require(set(parameters) == {"query", "limit"}, f"undocumented parameters: {sorted(parameters)}")
        [reference] = QUERY.findall(parameters["query"])
        return Reply(status=200, body={"messages": self.activity[reference][: int(parameters["limit"])]})

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event"""
        fields = {"email": message.to, "event": event, "timestamp": int(at.timestamp()), "sg_event_id": uuid4().hex}
        fields |= {"sg_message_id": f"{message.message_id}.recvd-5f-1.0", REFERENCE: message.reference}
        return json.dumps([fields]).encode() + b"\r\n"

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        timestamp = str(int(at.timestamp()))
        signature = self.key.sign(timestamp.encode() + body, ECDSA(SHA256()))
        return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: base64.b64encode(signature).decode()}
