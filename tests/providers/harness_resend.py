"""Adapt Resend to the contract suite."""

from typing import Any

from pydantic import SecretStr

from providers.resend.adapter import Resend, ResendSettings
from testing.vendors.http import Reply
from testing.vendors.resend import API_KEY, FakeResend
from tests.providers.harness import NOT_FOUND
from tests.providers.harness_channels import EmailBench, EmailHarness


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
