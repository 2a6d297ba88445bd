"""Adapt SES to the contract suite."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from providers.ses.adapter import Ses
from providers.ses.settings import SesSettings
from providers.ses.sns import SIGNATURE_FIELDS
from providers.transport import Transport
from testing.vendors import http
from testing.vendors.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, TOPIC_ARN, FakeSes, signing_key
from tests.providers.harness import NOT_FOUND, ContractCase
from tests.providers.harness_channels import EmailBench, EmailHarness


class SesBench(EmailBench):
    vendor: FakeSes
    forger: FakeSes

    def __init__(self, vendor: FakeSes, transport: Transport) -> None:
        super().__init__(vendor, transport)
        # It names the genuine certificate.
        self.forger = FakeSes(key=signing_key("a forger"))
        self.forger.port = vendor.port

    @classmethod
    def new_vendor(cls) -> FakeSes:
        return FakeSes()

    @property
    def settings(self) -> SesSettings:
        return SesSettings(
            region=REGION,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SecretStr(SECRET_ACCESS_KEY),
            sender="shop@example.com",
            from_name="The shop, Ltd",
            configuration_set="tocsin",
            topic_arn=TOPIC_ARN,
            base_url=self.vendor.url,
            sns_url=self.vendor.url,
        )

    def adapter(self, **changed: Any) -> Ses:
        return Ses(self.settings.model_copy(update=changed), self.transport)

    def bad_credentials(self) -> Ses:
        return self.adapter(secret_access_key=SecretStr("another key"))

    def without_signature(self, headers: Mapping[str, str], body: bytes) -> list[tuple[Mapping[str, str], bytes]]:
        message = json.loads(body)
        return [
            (headers, json.dumps({name: message[name] for name in message if name != missing}).encode())
            for missing in SIGNATURE_FIELDS
        ]


class SesHarness(EmailHarness):
    bench_class = SesBench
    success = http.Reply(status=200, body={"MessageId": "0102018f-000000"})
    bad_addresses = (
        ({"email": "pepé@example.com"}, "international_address_not_supported"),
        ({"email": "ada@example.com>"}, "invalid_address"),
    )
    signature_lifetime = timedelta(hours=1)
    without = NOT_FOUND | {
        ContractCase.SIGNS_BODY: "its signature covers the fields of the body; test_ses_callbacks.py changes each",
    }
