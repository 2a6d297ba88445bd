"""Simulate Twilio for the contract suite and Twilio's own tests."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID, uuid4

from pydantic import SecretStr

from domain.channels import Channel
from domain.outgoing_messages import OutgoingMessage
from providers.transport import Transport
from providers.twilio.adapter import Twilio, TwilioSettings
from storage.database import Database
from tests.providers.harness import Bench, ContractCase, Harness
from tests.providers.harness_http import FakeVendor, HttpBench, Reply, Request, VendorMode, running_vendor

SID = "AC" + "0" * 32
TOKEN = "auth-token"
FROM = "+15005550006"
CALLBACK = "https://tocsin.example/api/v1/receipts/twilio"
PREFIX = "+44770090"
ACCOUNT = f"/2010-04-01/Accounts/{SID}"
CREDENTIALS = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()


def record(to: str, body: str, at: datetime) -> dict[str, Any]:
    """Return the vendor's record of a message that it has not sent yet."""
    sid = f"SM{uuid4().hex}"
    lookup_reply = {"sid": sid, "to": to, "from": FROM, "body": body, "status": "queued", "direction": "outbound-api"}
    return lookup_reply | {"date_created": format_datetime(at), "date_sent": None, "price": None, "price_unit": "USD"}


class FakeTwilio(FakeVendor):
    """Simulate the vendor. `messages` are its records of accepted messages, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.status = "active"

    def read(self, request: Request) -> tuple[str, VendorMode]:
        assert (request.method, request.target) == ("POST", f"{ACCOUNT}/Messages.json")
        assert request.headers["authorization"] == CREDENTIALS
        form = request.form
        assert set(form) == {"To", "From", "Body", "StatusCallback"}
        assert (form["From"], form["Body"]) == (FROM, "Grüße & more")
        address, _, reference = form["StatusCallback"].partition("?attempt=")
        assert address == CALLBACK
        return str(UUID(reference)), list(VendorMode)[int(form["To"].removeprefix(PREFIX)[:2])]

    def accepted(self, reference: str, request: Request) -> Reply:
        self.messages.append(record(request.form["To"], request.form["Body"], datetime.now(UTC)))
        return Reply(status=201, body=self.messages[-1])

    def lookup_reply(self, request: Request) -> Reply:
        if request.headers["authorization"] != CREDENTIALS:
            return self.refused(VendorMode.BREAKS)
        path, _, query = request.target.partition("?")
        if path == f"{ACCOUNT}.json":
            return Reply(status=200, body={"sid": SID, "status": self.status, "type": "Full"})
        assert path == f"{ACCOUNT}/Messages.json"
        parameters = dict(parse_qsl(query, strict_parsing=True))
        assert set(parameters) == {"To", "PageSize"}
        found = [message for message in reversed(self.messages) if message["to"] == parameters["To"]]
        size = int(parameters["PageSize"])
        more = f"{ACCOUNT}/Messages.json?Page=1" if len(found) > size else None
        return Reply(status=200, body={"messages": found[:size], "next_page_uri": more, "page_size": size})

    def refused(self, mode: VendorMode) -> Reply:
        if mode is VendorMode.THROTTLES:
            body = {"code": 20429, "message": "Too Many Requests", "status": 429}
            return Reply(status=429, body=body, headers={"Retry-After": "7"})
        if mode is VendorMode.BREAKS:
            return Reply(status=401, body={"code": 20003, "message": "Authenticate", "status": 401})
        return Reply(status=400, body={"code": 21211, "message": "Invalid 'To' Phone Number: +4477", "status": 400})


def sign(secret: str, url: str, body: bytes, algorithm: str = "sha1") -> str:
    """Sign as the vendor's security page describes, without its package: the URL, then the sorted fields and values."""
    fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    lookup_reply = url + "".join(name + value for name, value in sorted(fields))
    return base64.b64encode(
        hmac.new(secret.encode(), lookup_reply.encode(), getattr(hashlib, algorithm)).digest()
    ).decode()


class TwilioBench(HttpBench):
    channel = Channel.SMS
    content = {"text": "Grüße & more"}
    vendor: FakeTwilio

    def __init__(self, vendor: FakeTwilio, transport: Transport) -> None:
        self.vendor = vendor
        self.transport = transport
        self.settings = TwilioSettings(
            account_sid=SID,
            auth_token=SecretStr(TOKEN),
            sender=FROM,
            base_url=vendor.url,
            webhook_secret=SecretStr("shared key"),
        )
        self.provider = self._with()
        self._people = count()

    def _with(self, **changed: Any) -> Twilio:
        return Twilio(self.settings.model_copy(update=changed), self.transport, CALLBACK)

    def bad_credentials(self) -> Twilio:
        return self._with(auth_token=SecretStr("another token"))

    def unreachable(self) -> Twilio:
        return self._with(base_url="http://127.0.0.1:1")

    def address(self, mode: VendorMode) -> dict[str, str]:
        """Return a different recipient for each message: the vendor distinguishes them by recipient and text only."""
        return {"phone": f"{PREFIX}{list(VendorMode).index(mode):02}{next(self._people):02}"}

    def report(self, word: str, message: OutgoingMessage, message_id: str, at: datetime) -> bytes:
        fields = {"MessageSid": message_id, "MessageStatus": word, "To": message.address["phone"], "From": FROM}
        return urlencode({**fields, "AccountSid": SID, "ApiVersion": "2010-04-01"}).encode()

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        return {"x-twilio-signature": sign(TOKEN if genuine else "another token", CALLBACK, body)}


@asynccontextmanager
async def twilio_bench() -> AsyncIterator[TwilioBench]:
    vendor = FakeTwilio()
    async with running_vendor(vendor) as transport:
        yield TwilioBench(vendor, transport)


class TwilioHarness(Harness):
    without = {ContractCase.SIGNS_TIME: "its signature covers no time; a repeated callback is the same receipt"}

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with twilio_bench() as bench:
            yield bench
