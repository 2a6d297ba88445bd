"""Adapt SendGrid to the contract suite, and read the samples of its tests."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from domain.evidence import CallResult
from providers.base import ProviderReceipt
from providers.sendgrid.adapter import SendGrid
from providers.sendgrid.settings import SendGridSettings
from testing.vendors.http import Reply
from testing.vendors.sendgrid import API_KEY, FakeSendGrid, shown
from tests.providers.harness import ContractCase, Harness
from tests.providers.harness_channels import EmailBench, EmailHarness

SAMPLES = Path(__file__).parent / "payloads" / "sendgrid"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


class SendGridBench(EmailBench):
    vendor: FakeSendGrid
    forger = FakeSendGrid()

    @classmethod
    def new_vendor(cls) -> FakeSendGrid:
        return FakeSendGrid()

    @property
    def settings(self) -> SendGridSettings:
        return SendGridSettings(
            api_key=SecretStr(API_KEY),
            sender="shop@example.com",
            from_name="The shop, Ltd",
            base_url=self.vendor.url,
            webhook_public_key=shown(self.vendor.key),
        )

    def adapter(self, **changed: Any) -> SendGrid:
        return SendGrid(self.settings.model_copy(update=changed), self.transport)

    def bad_credentials(self) -> SendGrid:
        return self.adapter(api_key=SecretStr("SG.another.key"))


class SendGridHarness(EmailHarness):
    bench_class = SendGridBench
    success = Reply(status=202)
    bad_addresses = (({"email": "pepé@example.com"}, "international_address_not_supported"),)
    # The status alone is the response.
    after_error = {**Harness.after_error, ContractCase.MALFORMS: CallResult.ACCEPTED}


def raw(events: Any) -> bytes:
    """Return the body as the vendor posts it: with its own JSON spacing and a final line break."""
    return json.dumps(events, separators=(",", ":")).encode() + b"\r\n"


def parsed(bench: SendGridBench, body: bytes, at: datetime | None = None) -> list[ProviderReceipt]:
    return bench.provider.parse_receipts(bench.signed(body, at or datetime.now(UTC)), body)
