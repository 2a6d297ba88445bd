"""Adapt webhooks to the contract suite."""

from typing import Any
from uuid import UUID

from domain.channels import Channel
from domain.evidence import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.webhook import Webhook, derive_tenant_secret
from testing.vendors.webhook import FakeWebhook
from tests.providers.harness import NO_RECEIPTS, NOT_CHECKED, NOT_FOUND, ContractCase, tools_with
from tests.providers.harness_http import HttpBench, HttpHarness

SECRET = b"the installation's key"
TENANT = UUID(int=7)


class WebhookBench(HttpBench):
    channel = Channel.WEBHOOK
    content = {"subject": "Hi", "body": "Grüße"}

    @classmethod
    def new_vendor(cls) -> FakeWebhook:
        return FakeWebhook(derive_tenant_secret(SECRET, TENANT))

    def adapter(self, **changed: Any) -> Webhook:
        return Webhook.build(tools_with(self.transport, SECRET))

    def reference(self, message: OutgoingMessage) -> str:
        return str(message.delivery_id)


class WebhookHarness(HttpHarness):
    bench_class = WebhookBench
    success = None
    without = (
        {ContractCase.BREAKS: "it has no credentials of Tocsin's; 401 concerns one endpoint"}
        | NO_RECEIPTS
        | NOT_CHECKED
        | NOT_FOUND
    )
    after_error = {
        ContractCase.ERRS: CallResult.NOT_ACCEPTED,
        ContractCase.REDIRECTS: CallResult.REFUSED,
        ContractCase.MALFORMS: CallResult.ACCEPTED,
    }
