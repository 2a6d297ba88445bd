"""Adapt Twilio to the contract suite."""

from typing import Any

from pydantic import SecretStr

from providers.twilio.adapter import Twilio
from providers.twilio.settings import TwilioSettings
from testing.vendors.http import Reply
from testing.vendors.twilio import FROM, SID, TOKEN, FakeTwilio
from tests.providers.harness import ContractCase
from tests.providers.harness_channels import SmsBench, SmsHarness

CALLBACK = "https://tocsin.example/api/v1/receipts/twilio"


class TwilioBench(SmsBench):
    callback = CALLBACK
    vendor: FakeTwilio
    forger = FakeTwilio(token="another token")

    @classmethod
    def new_vendor(cls) -> FakeTwilio:
        return FakeTwilio()

    @property
    def settings(self) -> TwilioSettings:
        return TwilioSettings(
            account_sid=SID,
            auth_token=SecretStr(TOKEN),
            sender=FROM,
            base_url=self.vendor.url,
            webhook_secret=SecretStr("shared key"),
        )

    def adapter(self, **changed: Any) -> Twilio:
        return Twilio(self.settings.model_copy(update=changed), self.transport, CALLBACK)

    def bad_credentials(self) -> Twilio:
        return self.adapter(auth_token=SecretStr("another token"))


class TwilioHarness(SmsHarness):
    bench_class = TwilioBench
    success = Reply(status=201, body={"sid": "SM1"})
    without = {ContractCase.SIGNS_TIME: "its signature covers no time; a repeated callback is the same receipt"}
