"""Adapt Vonage to the contract suite."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from domain.channels import Channel
from providers.vonage.adapter import Vonage
from providers.vonage.settings import VonageSettings
from storage.database import Database
from testing.vendors.http import Reply
from testing.vendors.vonage import (
    API_KEY,
    API_SECRET,
    APPLICATION,
    FROM,
    SIGNATURE_SECRET,
    FakeVonage,
    application_key,
    private_pem,
)
from tests.providers.harness_http import HttpBench, HttpHarness, running_vendor

CALLBACK = "https://tocsin.example/api/v1/receipts/vonage"


class VonageBench(HttpBench):
    channel = Channel.SMS
    content = {"text": "Grüße & more"}
    callback = CALLBACK
    vendor: FakeVonage
    forger = FakeVonage(secret=SIGNATURE_SECRET[::-1])

    def adapter(self, **changed: Any) -> Vonage:
        settings = VonageSettings(
            api_key=API_KEY,
            api_secret=SecretStr(API_SECRET),
            application_id=APPLICATION,
            private_key=SecretStr(private_pem(application_key())),
            sender=f"+{FROM}",
            webhook_secret=SecretStr(SIGNATURE_SECRET),
            base_url=self.vendor.url,
            account_url=self.vendor.url,
        )
        return Vonage(settings.model_copy(update=changed), self.transport, CALLBACK)

    def bad_credentials(self) -> Vonage:
        return self.adapter(api_secret=SecretStr("another secret"))

    def unreachable(self) -> Vonage:
        return self.adapter(base_url="http://127.0.0.1:1", account_url="http://127.0.0.1:1")


@asynccontextmanager
async def vonage_bench() -> AsyncIterator[VonageBench]:
    vendor = FakeVonage()
    async with running_vendor(vendor) as transport:
        yield VonageBench(vendor, transport)


class VonageHarness(HttpHarness):
    success = Reply(status=202, body={"message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"})
    bad_content = (({"text": " \n"}, "empty_message"),)
    bad_addresses = (
        ({"phone": "4917012345678"}, "invalid_address"),
        ({"phone": "+49 170 12345678"}, "invalid_address"),
        ({"phone": "+123456"}, "invalid_address"),
    )

    signature_lifetime = timedelta(days=1)

    def bench(self, database: Database | None = None) -> AbstractAsyncContextManager[VonageBench]:
        return vonage_bench()
