"""Adapt Mailgun to the contract suite."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from providers.mailgun.adapter import Mailgun, MailgunSettings
from testing.vendors.http import Reply
from testing.vendors.mailgun import API_KEY, FakeMailgun
from tests.providers.harness import ContractCase
from tests.providers.harness_channels import EmailBench, EmailHarness


class MailgunBench(EmailBench):
    vendor: FakeMailgun
    forger = FakeMailgun(secret="another signing key")

    @classmethod
    def new_vendor(cls) -> FakeMailgun:
        return FakeMailgun()

    @property
    def settings(self) -> MailgunSettings:
        return MailgunSettings(
            api_key=SecretStr(API_KEY),
            domain="mail.example",
            sender="shop@example.com",
            from_name="The shop, Ltd",
            base_url=self.vendor.url,
            webhook_signing_key=SecretStr(self.vendor.secret),
        )

    def adapter(self, **changed: Any) -> Mailgun:
        return Mailgun(self.settings.model_copy(update=changed), self.transport)

    def without_signature(self, headers: Mapping[str, str], body: bytes) -> list[tuple[Mapping[str, str], bytes]]:
        callback = json.loads(body)
        signature = callback.pop("signature")
        parts = [{name: signature[name] for name in signature if name != missing} for missing in signature]
        return [(headers, json.dumps({**callback, "signature": part}).encode()) for part in parts] + [
            (headers, json.dumps(callback).encode())
        ]

    def bad_credentials(self) -> Mailgun:
        return self.adapter(api_key=SecretStr("another key"))


class MailgunHarness(EmailHarness):
    bench_class = MailgunBench
    success = Reply(
        status=200, body={"id": "<20111114174239.25659.5817@mail.example>", "message": "Queued. Thank you."}
    )
    signature_lifetime = timedelta(hours=8)
    without = {ContractCase.SIGNS_BODY: "it signs a token that is good for one event"}
