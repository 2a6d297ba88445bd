"""Adapt Resend to the contract suite, and read the samples of its tests."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from domain.email_options import EmailAttachment, EmailOptions, Mailbox
from domain.outgoing_messages import OutgoingMessage
from providers.base import ProviderReceipt
from providers.outcomes import ProviderAcceptance
from providers.resend.adapter import Resend, ResendSettings
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.resend import API_KEY, FakeResend
from tests.providers.harness import NOT_FOUND
from tests.providers.harness_channels import EmailBench, EmailHarness
from tests.providers.published_schemas import schema_problems

SAMPLES = Path(__file__).parent / "payloads" / "resend"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


EVENTS: dict[str, Any] = {event["type"].removeprefix("email."): event for event in sample("events")}
ALL_OPTIONS = EmailOptions(
    sender=Mailbox(email="orders@mail.example", name='Zoë "Z", Orders <Ltd>'),
    reply_to=Mailbox(email="help@mail.example"),
    cc=("bob@example.com",),
    bcc=("archive@example.com",),
    headers={"X-Order": "4711"},
    attachments=(EmailAttachment(name="a.txt", content_type="text/plain", content=b"A"),),
    unsubscribe_url="https://tocsin.example/unsubscribe/t",
)


class ResendBench(EmailBench):
    vendor: FakeResend
    forger = FakeResend()

    @classmethod
    def new_vendor(cls) -> FakeResend:
        return FakeResend()

    @property
    def settings(self) -> ResendSettings:
        return ResendSettings(
            api_key=SecretStr(API_KEY),
            sender="shop@example.com",
            from_name="The shop, Ltd",
            base_url=self.vendor.url,
            webhook_secret=SecretStr(self.vendor.secret),
        )

    def adapter(self, **changed: Any) -> Resend:
        return Resend(self.settings.model_copy(update=changed), self.transport)

    def bad_credentials(self) -> Resend:
        return self.adapter(api_key=SecretStr("re_another_key"))


class ResendHarness(EmailHarness):
    bench_class = ResendBench
    success = Reply(status=200, body={"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"})
    without = NOT_FOUND
    sender_name = "Orders Ltd"
    bad_addresses = (
        ({"email": "pepé@example.com"}, "international_address_not_supported"),
        ({"email": "ada+good@example.com <eve@example.com>"}, "invalid_address"),
    )


def raw(event: Any) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def parsed(bench: ResendBench, body: bytes, at: datetime | None = None) -> list[ProviderReceipt]:
    return bench.provider.parse_receipts(bench.signed(body, at or datetime.now(UTC)), body)


def problems(schema: str, value: Any) -> list[str]:
    """Return what is wrong by the vendor's OpenAPI document."""
    return schema_problems("resend/emails", schema, value)


async def sent(bench: ResendBench, **changes: Any) -> tuple[OutgoingMessage, dict[str, Any]]:
    """Send, and return the message with its request."""
    message = replace(bench.message_in_mode(VendorMode.GOOD), **changes)
    outcome = await bench.provider.send(message)
    assert isinstance(outcome, ProviderAcceptance), outcome
    return message, bench.vendor.log.requests[-1].json
