"""Simulate Resend: sends with idempotency keys, the list of domains, and signed events."""

import base64
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any, ClassVar
from uuid import uuid4

import standardwebhooks

from domain.json_types import Json
from providers.resend.adapter import SIGNATURE_HEADERS
from providers.resend.options import REFERENCE
from testing.vendors.emails import VendorEmail, lower_headers
from testing.vendors.http import Reply, Request, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

API_KEY = "re_test_key"
# https://resend.com/docs/api-reference/emails/send-email
REQUIRED = {"from", "to", "subject", "tags"}
OPTIONAL = {"cc", "bcc", "reply_to", "html", "text", "headers", "attachments"}
MAILBOX = re.compile(r'(?:([^"<>,=]+) <)?[^\s<>"]+@[^\s<>"]+?>?')
TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


def error(status: int, name: str, message: str) -> Reply:
    """Return a response of the form of https://resend.com/docs/api-reference/errors"""
    return Reply(status=status, body={"statusCode": status, "name": name, "message": message})


INVALID_KEY = error(401, "validation_error", "API key is invalid")
CHANGED_REQUEST = error(409, "invalid_idempotent_request", "The request body was modified.")


def new_secret() -> str:
    return f"whsec_{base64.b64encode(os.urandom(24)).decode()}"


def read_email(mail: Json) -> VendorEmail:
    return VendorEmail(
        sender=parseaddr(mail["from"]),
        to=mail["to"],
        cc=mail.get("cc", []),
        bcc=mail.get("bcc", []),
        reply_to=parseaddr(mail["reply_to"][0]) if "reply_to" in mail else None,
        subject=mail["subject"],
        text=mail.get("text", ""),
        html=mail.get("html", ""),
        headers=lower_headers(mail.get("headers", {}).items()),
        attachments=[
            (each["filename"], each["content_type"], base64.b64decode(each["content"], validate=True))
            for each in mail.get("attachments", ())
        ],
    )


def check_request(mail: Json) -> None:
    require(REQUIRED <= set(mail) <= REQUIRED | OPTIONAL, f"undocumented fields: {sorted(mail)}")
    require(mail.get("html") or mail.get("text"), "an email without content")
    for mailbox in (mail["from"], *mail.get("reply_to", ())):
        require(MAILBOX.fullmatch(mailbox), "a mailbox that is neither `Name <address>` nor an address")
    words = [tag[part] for tag in mail["tags"] for part in ("name", "value")]
    require(all(TAG.fullmatch(word) for word in words) and len(mail["tags"]) <= 75, "an invalid tag")
    require(len({tag["name"] for tag in mail["tags"]}) == len(mail["tags"]), "a repeated tag")


class FakeResend(FakeVendor):
    """Simulate the vendor. `requests_by_key` holds the accepted requests and their responses: `forget` ends the window
    in which they are recognized. `is_sending_key`: the key may only send. `secret` signs the events.
    """

    name: ClassVar[str] = "resend"
    settings: ClassVar[Mapping[str, str]] = {"API_KEY": API_KEY, "FROM": "shop@example.com"}
    event_names: ClassVar[Mapping[str, str]] = {"open": "opened"}

    def __init__(
        self, api_key: str | None = API_KEY, *, secret: str | None = None, log: VendorLog | None = None
    ) -> None:
        super().__init__(api_key and f"Bearer {api_key}", log)
        self.secret = secret or new_secret()
        self.requests_by_key: dict[str, tuple[bytes, Reply]] = {}
        self.is_sending_key = False

    def receipt_settings(self) -> Mapping[str, str]:
        return {"WEBHOOK_SECRET": self.secret}

    def read(self, request: Request) -> VendorMessage:
        require((request.method, request.target) == ("POST", "/emails"), "it is no send")
        require(1 <= len(request.headers.get("idempotency-key", "")) <= 256, "no idempotency key")
        mail = request.json
        check_request(mail)
        [to] = mail["to"]
        tags = {tag["name"]: tag["value"] for tag in mail["tags"]}
        return VendorMessage(reference=tags[REFERENCE], to=to, message_id=str(uuid4()), email=read_email(mail))

    def repeated_reply(self, request: Request) -> Reply | None:
        """Return the response to the first request with this key. A request with another body is refused."""
        body, reply = self.requests_by_key.get(request.headers["idempotency-key"], (request.body, None))
        return reply if body == request.body else CHANGED_REQUEST

    def forget(self) -> None:
        self.requests_by_key.clear()

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        reply = Reply(status=200, body={"id": message.message_id})
        self.requests_by_key[request.headers["idempotency-key"]] = (request.body, reply)
        return reply

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            reply = error(429, "rate_limit_exceeded", "Too many requests.")
            return Reply(status=429, body=reply.body, headers={"ratelimit-reset": "3", "retry-after": "3"})
        if mode is VendorMode.BREAKS:
            return INVALID_KEY
        return error(422, "validation_error", "Invalid `to` field. The email address needs to follow the format.")

    def look_up(self, request: Request) -> Reply:
        require(request.target == "/domains", "it is no query")
        if self.is_sending_key:
            return error(401, "restricted_api_key", "This API key is restricted to only send emails.")
        return Reply(status=200, body={"object": "list", "has_more": False, "data": []})

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """https://resend.com/docs/webhooks/event-types"""
        time = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data: dict[str, Any] = {"created_at": time, "email_id": str(message.message_id), "to": [message.to]}
        data |= {"from": "shop@example.com", "subject": "Hi", "tags": {REFERENCE: message.reference}}
        return json.dumps({"type": f"email.{event}", "created_at": time, "data": data}).encode()

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        message_id, at = f"msg_{uuid4().hex}", at.astimezone(UTC)
        signature = standardwebhooks.Webhook(self.secret).sign(message_id, at, body.decode(errors="replace"))
        values = (message_id, str(int(at.timestamp())), signature)
        return dict(zip(SIGNATURE_HEADERS.values(), values, strict=True))
