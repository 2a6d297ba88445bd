"""Adapt Twilio to the contract suite, and read the samples of its tests."""

from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from providers.twilio.adapter import Twilio
from providers.twilio.settings import TwilioSettings
from testing.vendors.http import Reply
from testing.vendors.twilio import FROM, SID, TOKEN, FakeTwilio
from tests.providers.harness import ContractCase
from tests.providers.harness_channels import SmsBench, SmsHarness

CALLBACK = "https://tocsin.example/api/v1/receipts/twilio"

SAMPLES = Path(__file__).parent / "payloads" / "twilio"
ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")
QUERY = f"attempt={ATTEMPT}"


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


def callback(name: str) -> bytes:
    return (SAMPLES / f"{name}.form").read_bytes()
