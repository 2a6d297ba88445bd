"""Adapt Twilio to the contract suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from domain.channels import Channel
from providers.twilio.adapter import Twilio, TwilioSettings
from storage.database import Database
from testing.vendors.twilio import FROM, SID, TOKEN, FakeTwilio
from tests.providers.harness import Bench, ContractCase, Harness
from tests.providers.harness_http import HttpBench, running_vendor

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


class TwilioHarness(Harness):
    without = {ContractCase.SIGNS_TIME: "its signature covers no time; a repeated callback is the same receipt"}

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with twilio_bench() as bench:
            yield bench
