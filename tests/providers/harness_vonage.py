"""Adapt Vonage to the contract suite, and read the samples of its tests."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from providers.vonage.adapter import Vonage
from providers.vonage.settings import VonageSettings
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
from tests.providers.harness_channels import SmsBench, SmsHarness

CALLBACK = "https://tocsin.example/api/v1/receipts/vonage"

SAMPLES = Path(__file__).parent / "payloads" / "vonage"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


class VonageBench(SmsBench):
    callback = CALLBACK
    vendor: FakeVonage
    forger = FakeVonage(secret=SIGNATURE_SECRET[::-1])

    @classmethod
    def new_vendor(cls) -> FakeVonage:
        return FakeVonage()

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


class VonageHarness(SmsHarness):
    bench_class = VonageBench
    success = Reply(status=202, body={"message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"})
    bad_addresses = (*SmsHarness.bad_addresses, ({"phone": "+123456"}, "invalid_address"))
    signature_lifetime = timedelta(days=1)
