"""Simulate Mailgun: sends as MIME, the domain, its events, and signed webhooks."""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any, ClassVar, Self
from uuid import uuid4

from domain.json_types import Json
from domain.names import derived_id
from providers.mailgun.lookup import REFERENCE
from testing.vendors.emails import email_of_mime
from testing.vendors.http import Reply, Request, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

API_KEY = "key-test"
SEND = re.compile(r"^/v3/[a-z0-9.-]+/messages\.mime$")
EVENTS = re.compile(r"^/v3/[a-z0-9.-]+/events$")
DOMAIN = re.compile(r"^/v4/domains/([a-z0-9.-]+)$")
# https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
REPEATABLE = {"to", "o:tag"}
FIELDS = REPEATABLE | {"message", "o:tracking", "o:deliver-within"}
OPTIONS_LIMIT = 16 * 1024
# https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events/get-v3-domain_name-events
FILTERS = {"begin", "ascending", "limit", "event", "message-id"}
EVENT_LIMIT = 300
FAILURES: Mapping[str, Json] = {
    "failed": {
        "severity": "permanent",
        "reason": "bounce",
        "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": "no such mailbox"},
    },
    "rejected": {"reject": {"reason": "the domain is not allowed to send", "description": ""}},
}


class FakeMailgun(FakeVendor):
    """Simulate the vendor, for every domain. `events` are those of its messages, by Message-ID; `state` is that of the
    domain. `secret` signs the webhooks.
    """

    name: ClassVar[str] = "mailgun"
    settings: ClassVar[Mapping[str, str]] = {
        "API_KEY": API_KEY,
        "DOMAIN": "mail.example",
        "FROM": "shop@example.com",
    }
    event_names: ClassVar[Mapping[str, str]] = {"open": "opened"}

    def __init__(
        self, api_key: str | None = API_KEY, secret: str = "a signing key", *, log: VendorLog | None = None
    ) -> None:
        super().__init__(api_key and "Basic " + base64.b64encode(f"api:{api_key}".encode()).decode(), log)
        self.secret = secret
        self.events: dict[str, list[Json]] = defaultdict(list)
        self.state = "active"

    @classmethod
    def stand_in(cls, log: VendorLog) -> Self:
        return cls(None, secrets.token_hex(16), log=log)

    def receipt_settings(self) -> Mapping[str, str]:
        return {"WEBHOOK_SIGNING_KEY": self.secret}

    def read(self, request: Request) -> VendorMessage:
        require(request.method == "POST" and SEND.match(request.target), "it is no send")
        fields = request.multipart
        names = Counter(name for name, _ in fields)
        require(set(names) - variable_names(names) <= FIELDS, f"undocumented fields: {sorted(names)}")
        require({name for name, count in names.items() if count > 1} <= REPEATABLE, "a repeated field")
        require(sum(len(name) + len(value) for name, value in fields if ":" in name) <= OPTIONS_LIMIT, "long options")
        recipients = [value.decode() for name, value in fields if name == "to"]
        values = dict(fields)
        mail = message_from_bytes(values["message"], policy=policy.default)
        return VendorMessage(
            reference=values[f"v:{REFERENCE}"].decode(),
            to=recipients[0],
            message_id=str(mail["Message-ID"]),
            email=email_of_mime(mail, recipients),
        )

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        fields = request.multipart
        variables = {name.removeprefix("v:"): value.decode() for name, value in fields if name.startswith("v:")}
        known = self.events[self.read(request).message_id.strip("<>")]
        for recipient in (value.decode() for name, value in fields if name == "to"):
            known.append(build_event("accepted", message, datetime.now(UTC), recipient, variables))
        return Reply(status=200, body={"id": message.message_id, "message": "Queued. Thank you."})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            problem = "account-requests-per-sec limit exceeded, try again after 120 seconds"
            return Reply(status=429, body={"message": f"Domain mail.example is not allowed to send: {problem}"})
        if mode is VendorMode.BREAKS:
            return Reply(status=401, body=b'"Forbidden"')
        return Reply(status=400, body={"message": "to parameter is not a valid address. please check documentation"})

    def look_up(self, request: Request) -> Reply:
        if found := DOMAIN.match(request.target):
            domain = {"name": found[1], "state": self.state, "is_disabled": False}
            return Reply(status=200, body={"domain": domain})
        require(EVENTS.match(request.path), "it is no query")
        query = request.query
        require(set(query) == FILTERS, f"undocumented parameters: {sorted(query)}")
        require(query["ascending"] == "yes" and int(query["limit"]) <= EVENT_LIMIT, "an undocumented value")
        kinds = query["event"].split(" OR ")
        items = [
            event
            for event in self.events[query["message-id"]]
            if event["event"] in kinds and event["timestamp"] >= int(query["begin"])
        ]
        return Reply(status=200, body={"items": items[: int(query["limit"])], "paging": {"next": "", "previous": ""}})

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """Return the event, which `signed_receipt` puts into the body."""
        return json.dumps(build_event(event, message, at, message.to, {REFERENCE: message.reference})).encode()

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        return {}

    def signed_receipt(self, body: bytes, url: str, at: datetime) -> tuple[Mapping[str, str], bytes]:
        """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks"""
        signature = json.dumps(self.sign(str(int(at.timestamp())), (uuid4().hex * 2)[:50])).encode()
        return {}, b'{"signature": ' + signature + b', "event-data": ' + body + b"}"

    def sign(self, timestamp: str, token: str) -> dict[str, str]:
        signature = hmac.new(self.secret.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
        return {"timestamp": timestamp, "token": token, "signature": signature}


def variable_names(names: Mapping[str, int]) -> set[str]:
    return {name for name in names if name.startswith("v:")}


def build_event(word: str, message: VendorMessage, at: datetime, recipient: str, variables: Mapping[str, str]) -> Json:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure"""
    vendor_id: Any = message.message_id
    message_id = vendor_id.strip("<>") if isinstance(vendor_id, str) else vendor_id
    return {
        "event": word,
        "id": derived_id("mailgun", str(vendor_id), word, recipient).hex,
        "timestamp": at.timestamp(),
        "recipient": recipient,
        "message": {"headers": {"message-id": message_id, "from": "shop@example.com"}, "attachments": [], "size": 1},
        "user-variables": dict(variables),
        **FAILURES.get(word, {}),
    }
