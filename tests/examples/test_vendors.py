"""The stand-in for SendGrid, Twilio and FCM: our adapters take it for the vendors, and it shows no secret."""

import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.outgoing import Message
from providers.fcm import Fcm, FcmSettings
from providers.outcomes import Accepted
from providers.sendgrid import SendGrid, SendGridSettings
from providers.transport import Transport
from providers.twilio import Twilio, TwilioSettings
from tests.code.tree import ROOT
from tests.polling import eventually
from tests.providers.harness_http import Day, Reply, Request, Vendor, serving
from tests.providers.mail_server import to

KEY, TOKEN = SecretStr("SG.swordfish"), SecretStr("hammerhead")


class Tocsin(Vendor):
    """Where receipts go; it keeps them as they came."""

    def read(self, request: Request) -> tuple[str, Day]:
        return request.target, Day.GOOD

    def accepted(self, reference: str, request: Request) -> Reply:
        return Reply(status=204)

    def refused(self, day: Day) -> Reply:
        return Reply(status=400)


@dataclass
class Stand:
    """`said` is what it has printed so far."""

    process: Process
    tocsin: Tocsin
    transport: Transport
    account: Path
    url: str = ""
    said: str = ""

    async def until(self, words: str) -> str:
        """Reads on until a line has them, and gives it back."""
        assert self.process.stdout
        while True:
            line = (await self.process.stdout.readline()).decode()
            assert line, self.said
            self.said += line
            if words in line:
                return line.strip()

    @property
    def callback(self) -> str:
        return f"{self.tocsin.url}/api/v1/receipts/twilio"

    async def receipts(self, count: int) -> list[Request]:
        async def look() -> list[Request]:
            return self.tocsin.requests

        return await eventually(look, lambda requests: len(requests) == count)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    tocsin, account = Tocsin(), tmp_path / "account.json"
    async with serving(tocsin) as transport:
        process = await create_subprocess_exec(
            *(sys.executable, "examples/vendors.py", "0"),
            *("--report", tocsin.url, "--fcm-account", str(account)),
            cwd=ROOT,
            stdout=PIPE,
        )
        stand = Stand(process, tocsin, transport, account)
        try:
            stand.url = (await stand.until("listening on ")).removeprefix("listening on ")
            yield stand
        finally:
            process.kill()
            await process.communicate()


def a(channel: Channel, address: dict[str, str], content: dict[str, Any]) -> Message:
    message = to()
    fields = {name: getattr(message, name) for name in message.__slots__}
    return Message(**{**fields, "channel": channel, "address": address, "content": content, "delivery_id": uuid4()})


async def test_what_sendgrid_would_take_is_shown_and_reported(stand: Stand) -> None:
    [public_key] = [line.partition("=")[2] for line in stand.said.splitlines() if "PUBLIC_KEY" in line]
    settings = SendGridSettings(
        api_key=KEY, sender="shop@example.com", base_url=stand.url, webhook_public_key=public_key
    )
    adapter = SendGrid(settings, stand.transport)
    assert await adapter.check() == "the API key is good, and may send mail"
    message = to("otto@example.com", subject="Grüße")
    sent = await adapter.send(message)
    assert isinstance(sent, Accepted)
    [request] = await stand.receipts(1)
    assert request.target == "/api/v1/receipts/sendgrid"
    [receipt] = adapter.parse_receipts(request.headers, request.body)
    assert (receipt.kind, receipt.attempt_id) == (ReceiptKind.DELIVERED, message.attempt_id)
    assert receipt.provider_message_id == sent.message_id
    await stand.until("SendGrid reports delivered")
    assert '"subject": "Grüße"' in stand.said
    assert "swordfish" not in stand.said


async def test_what_twilio_would_take_is_shown_and_reported(stand: Stand) -> None:
    settings = TwilioSettings(account_sid="AC1", auth_token=TOKEN, sender="+15005550006", base_url=stand.url)
    adapter = Twilio(settings, stand.transport, stand.callback)
    assert await adapter.check() == "the credentials are good, and the account is active"
    message = a(Channel.SMS, {"phone": "+447700900142"}, {"text": "Grüße & more"})
    sent = await adapter.send(message)
    assert isinstance(sent, Accepted)
    [request] = await stand.receipts(1)
    query = request.target.partition("?")[2]
    [receipt] = adapter.parse_receipts(request.headers, request.body, query)
    assert (receipt.kind, receipt.attempt_id) == (ReceiptKind.DELIVERED, message.attempt_id)
    assert receipt.provider_message_id == sent.message_id
    await stand.until("Twilio reports delivered")
    assert '"Body": "Grüße & more"' in stand.said
    assert "hammerhead" not in stand.said


async def test_what_fcm_would_take_is_shown(stand: Stand) -> None:
    token_url = f"{stand.url}/token"
    settings = FcmSettings(credentials=SecretStr(stand.account.read_text()), base_url=stand.url, token_url=token_url)
    adapter = Fcm(settings, stand.transport)
    assert "a dry run passed" in await adapter.check()
    sent = await adapter.send(a(Channel.PUSH, {"token": "ottos-phone"}, {"title": "Grüße", "body": "more"}))
    assert isinstance(sent, Accepted)
    assert str(sent.message_id).startswith("projects/first-type/messages/")
    await stand.until('"token": "ottos-phone"')
    assert '"assertion": "…"' in stand.said
    assert "PRIVATE KEY" not in stand.said
    assert stand.account.stat().st_mode & 0o077 == 0
