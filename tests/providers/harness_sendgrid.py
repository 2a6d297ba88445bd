"""Adapt SendGrid to the contract suite."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from pydantic import SecretStr

from domain.channels import Channel
from domain.evidence import CallResult
from providers.sendgrid.adapter import SendGrid
from providers.sendgrid.settings import SendGridSettings
from storage.database import Database
from testing.vendors.http import Reply
from testing.vendors.sendgrid import API_KEY, FakeSendGrid, shown
from tests.providers.harness import ContractCase, Harness
from tests.providers.harness_http import HttpBench, HttpHarness, running_vendor


class SendGridBench(HttpBench):
    channel = Channel.EMAIL
    content = {"subject": "Hi", "html": "<p>Grüße</p>", "text": "Grüße"}
    vendor: FakeSendGrid
    forger = FakeSendGrid()

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


@asynccontextmanager
async def sendgrid_bench() -> AsyncIterator[SendGridBench]:
    vendor = FakeSendGrid()
    async with running_vendor(vendor) as transport:
        yield SendGridBench(vendor, transport)


class SendGridHarness(HttpHarness):
    success = Reply(status=202)
    bad_content = (
        (SendGridBench.content | {"subject": " "}, "empty_subject"),
        (SendGridBench.content | {"text": "", "html": " "}, "empty_message"),
    )
    bad_addresses = (({"email": "pepé@example.com"}, "international_address_not_supported"),)
    # The status alone is the response.
    after_error = {**Harness.after_error, ContractCase.MALFORMS: CallResult.ACCEPTED}

    def bench(self, database: Database | None = None) -> AbstractAsyncContextManager[SendGridBench]:
        return sendgrid_bench()
