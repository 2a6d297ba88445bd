"""Adapt Mailgun to the contract suite, and read the samples of its tests."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from domain.email_options import EmailOptions
from domain.outgoing_messages import OutgoingMessage
from providers.base import ProviderReceipt
from providers.mailgun.adapter import Mailgun, MailgunSettings
from providers.mailgun.lookup import REFERENCE
from testing.vendors.http import Reply
from testing.vendors.mailgun import API_KEY, FakeMailgun
from testing.vendors.modes import VendorMode
from tests.providers.harness import ContractCase
from tests.providers.harness_channels import EmailBench, EmailHarness

SAMPLES = Path(__file__).parent / "payloads" / "mailgun"
EVENTS = json.loads((SAMPLES / "events.json").read_text())
ATTEMPT = UUID(EVENTS[0]["user-variables"][REFERENCE])
COPIES = EmailOptions(cc=("bob@example.com",), bcc=("archive@example.com",))


class MailgunBench(EmailBench):
    vendor: FakeMailgun
    forger = FakeMailgun(secret="another signing key")

    @classmethod
    def new_vendor(cls) -> FakeMailgun:
        return FakeMailgun()

    @property
    def settings(self) -> MailgunSettings:
        return MailgunSettings(
            api_key=SecretStr(API_KEY),
            domain="mail.example",
            sender="shop@example.com",
            from_name="The shop, Ltd",
            base_url=self.vendor.url,
            webhook_signing_key=SecretStr(self.vendor.secret),
        )

    def adapter(self, **changed: Any) -> Mailgun:
        return Mailgun(self.settings.model_copy(update=changed), self.transport)

    def without_signature(self, headers: Mapping[str, str], body: bytes) -> list[tuple[Mapping[str, str], bytes]]:
        callback = json.loads(body)
        signature = callback.pop("signature")
        parts = [{name: signature[name] for name in signature if name != missing} for missing in signature]
        return [(headers, json.dumps({**callback, "signature": part}).encode()) for part in parts] + [
            (headers, json.dumps(callback).encode())
        ]

    def bad_credentials(self) -> Mailgun:
        return self.adapter(api_key=SecretStr("another key"))


class MailgunHarness(EmailHarness):
    bench_class = MailgunBench
    success = Reply(
        status=200, body={"id": "<20111114174239.25659.5817@mail.example>", "message": "Queued. Thank you."}
    )
    signature_lifetime = timedelta(hours=8)
    without = {ContractCase.SIGNS_BODY: "it signs a token that is good for one event"}


def good(bench: MailgunBench, **changes: Any) -> OutgoingMessage:
    return replace(bench.message_in_mode(VendorMode.GOOD), **changes)


def parsed(bench: MailgunBench, event: Any, at: datetime | None = None) -> ProviderReceipt:
    headers, body = bench.signed_receipt(json.dumps(event).encode(), at or datetime.now(UTC))
    [receipt] = bench.provider.parse_receipts(headers, body)
    return receipt


def callback(signature: Any, event: Any = EVENTS[1]) -> bytes:
    return json.dumps({"signature": signature, "event-data": event}).encode()
