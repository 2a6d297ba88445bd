"""Adapt Twilio to the contract suite."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from pydantic import SecretStr

from domain.channels import Channel
from providers.twilio.adapter import Twilio
from providers.twilio.settings import TwilioSettings
from storage.database import Database
from testing.vendors.http import Reply
from testing.vendors.twilio import FROM, SID, TOKEN, FakeTwilio
from tests.providers.harness import ContractCase
from tests.providers.harness_http import HttpBench, HttpHarness, running_vendor

CALLBACK = "https://tocsin.example/api/v1/receipts/twilio"


class TwilioBench(HttpBench):
    channel = Channel.SMS
    content = {"text": "Grüße & more"}
    callback = CALLBACK
    vendor: FakeTwilio
    forger = FakeTwilio(token="another token")

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


@asynccontextmanager
async def twilio_bench() -> AsyncIterator[TwilioBench]:
    vendor = FakeTwilio()
    async with running_vendor(vendor) as transport:
        yield TwilioBench(vendor, transport)


class TwilioHarness(HttpHarness):
    success = Reply(status=201, body={"sid": "SM1"})
    bad_content = (({"text": " \n"}, "empty_message"),)
    bad_addresses = (
        ({"phone": "4917012345678"}, "invalid_address"),
        ({"phone": "+49 170 12345678"}, "invalid_address"),
        ({"phone": "+1234567890123456"}, "invalid_address"),
    )
    without = {ContractCase.SIGNS_TIME: "its signature covers no time; a repeated callback is the same receipt"}

    def bench(self, database: Database | None = None) -> AbstractAsyncContextManager[TwilioBench]:
        return twilio_bench()
