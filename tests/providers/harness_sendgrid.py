"""Adapt SendGrid to the contract suite."""

from typing import Any

from pydantic import SecretStr

from domain.evidence import CallResult
from providers.sendgrid.adapter import SendGrid
from providers.sendgrid.settings import SendGridSettings
from testing.vendors.http import Reply
from testing.vendors.sendgrid import API_KEY, FakeSendGrid, shown
from tests.providers.harness import ContractCase, Harness
from tests.providers.harness_channels import EmailBench, EmailHarness


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
