"""Simulate Twilio: sends, the list of messages, the account, and signed status callbacks."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

from providers.base import read_form
from testing.vendors.http import FORM, Reply, Request, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

SID = "AC" + "0" * 32
TOKEN = "auth-token"
FROM = "+15005550006"
ACCOUNT = re.compile(r"/2010-04-01/Accounts/(AC\w+)(\.json|/Messages\.json)")


def record(to: str, body: str, at: datetime, sid: str = "", sender: str = FROM) -> dict[str, Any]:
    """Return the vendor's record of a message that it has not sent yet."""
    fields = {"sid": sid or f"SM{uuid4().hex}", "to": to, "from": sender, "body": body, "status": "queued"}
    times = {"date_created": format_datetime(at), "date_sent": None}
    return fields | times | {"direction": "outbound-api", "price": None, "price_unit": "USD"}


def sign(secret: str, url: str, body: bytes, algorithm: str = "sha1") -> str:
    """Sign as the vendor's security page describes, without its package: the URL, then the sorted fields and values."""
    signed = url + "".join(name + value for name, value in sorted(read_form(body)))
    return base64.b64encode(hmac.new(secret.encode(), signed.encode(), getattr(hashlib, algorithm)).digest()).decode()


class FakeTwilio(FakeVendor):
    """Simulate the vendor. `messages` are its records of accepted messages, oldest first."""

    name: ClassVar[str] = "twilio"
    receipt_type: ClassVar[str] = FORM
    settings: ClassVar[Mapping[str, str]] = {"ACCOUNT_SID": SID, "AUTH_TOKEN": TOKEN, "FROM": FROM}
    event_names: ClassVar[Mapping[str, str]] = {"open": "read"}

    def __init__(self, sid: str = SID, token: str | None = TOKEN, *, log: VendorLog | None = None) -> None:
        credentials = token and "Basic " + base64.b64encode(f"{sid}:{token}".encode()).decode()
        super().__init__(credentials, log)
        self.messages: list[dict[str, Any]] = []
        self.status = "active"

    @classmethod
    def stand_in(cls, log: VendorLog) -> Self:
        return cls(token=None, log=log)

    @property
    def credentials(self) -> tuple[str, str]:
        """Return the account and the token of the accepted credentials."""
        account, _, token = base64.b64decode((self.authorization or "").removeprefix("Basic ")).decode().partition(":")
        return account, token

    def read(self, request: Request) -> VendorMessage:
        match, form = ACCOUNT.fullmatch(request.target), request.form
        require(match and match[2] == "/Messages.json" and request.method == "POST", "it is no send")
        require({"To", "Body", "StatusCallback"} <= set(form), f"missing fields: {sorted(form)}")
        require(len({"From", "MessagingServiceSid"} & set(form)) == 1, "it needs one sender")
        callback = form["StatusCallback"]
        reference = dict(parse_qsl(urlsplit(callback).query))["attempt"]
        return VendorMessage(reference=reference, to=form["To"], message_id=f"SM{uuid4().hex}", callback=callback)

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        form = request.form
        sender = form.get("From", "")
        self.messages.append(record(message.to, form["Body"], datetime.now(UTC), message.message_id, sender))
        return Reply(status=201, body=self.messages[-1])

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            body = {"code": 20429, "message": "Too Many Requests", "status": 429}
            return Reply(status=429, body=body, headers={"Retry-After": "7"})
        if mode is VendorMode.BREAKS:
            return Reply(status=401, body={"code": 20003, "message": "Authenticate", "status": 401})
        return Reply(status=400, body={"code": 21211, "message": "Invalid 'To' Phone Number: +4477", "status": 400})

    def look_up(self, request: Request) -> Reply:
        match = ACCOUNT.fullmatch(request.path)
        if not match or match[1] != self.credentials[0]:
            return Reply(status=404, body={"code": 20404, "message": "not found", "status": 404})
        if match[2] == ".json":
            return Reply(status=200, body={"sid": match[1], "status": self.status, "type": "Full"})
        parameters = request.query
        require(set(parameters) == {"To", "PageSize"}, f"undocumented parameters: {sorted(parameters)}")
        found = [message for message in reversed(self.messages) if message["to"] == parameters["To"]]
        size = int(parameters["PageSize"])
        more = f"{request.path}?Page=1" if len(found) > size else None
        return Reply(status=200, body={"messages": found[:size], "next_page_uri": more, "page_size": size})

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """https://www.twilio.com/docs/messaging/guides/track-outbound-message-status"""
        fields = {"MessageSid": message.message_id, "MessageStatus": event, "To": message.to}
        return urlencode(
            {**fields, "From": FROM, "AccountSid": self.credentials[0], "ApiVersion": "2010-04-01"}
        ).encode()

    def inbound_body(self, sender: str, text: str) -> bytes:
        """https://www.twilio.com/docs/messaging/guides/webhook-request"""
        sid = f"SM{uuid4().hex}"
        fields = {"MessageSid": sid, "SmsSid": sid, "AccountSid": self.credentials[0], "From": sender, "To": FROM}
        return urlencode(
            {**fields, "Body": text, "NumMedia": "0", "SmsStatus": "received", "ApiVersion": "2010-04-01"}
        ).encode()

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        return {"x-twilio-signature": sign(self.credentials[1], url, body)}
