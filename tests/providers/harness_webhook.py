"""Simulate a webhook receiver that verifies according to the standard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import standardwebhooks

from domain.channels import Channel
from domain.messages import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.transport import Transport
from providers.webhook import Webhook, derive_tenant_secret
from storage.database import Database
from tests.providers.harness import NO_RECEIPTS, NOT_CHECKED, NOT_FOUND, Bench, ContractCase, Harness, tools_with
from tests.providers.harness_http import FakeVendor, HttpBench, Reply, Request, VendorMode, running_vendor

SECRET = b"the installation's key"
TENANT = UUID(int=7)


class FakeEndpoint(FakeVendor):
    """Keep messages by `webhook-id`, as the standard requires."""

    def read(self, request: Request) -> tuple[str, VendorMode]:
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        try:
            standardwebhooks.Webhook(derive_tenant_secret(SECRET, TENANT)).verify(request.body, dict(request.headers))
        except standardwebhooks.WebhookVerificationError as error:
            raise AssertionError(str(error)) from error
        return str(UUID(request.headers["webhook-id"])), VendorMode(request.target.removeprefix("/hooks/"))

    def accepted(self, reference: str, request: Request) -> Reply:
        self.kept[reference] = 1
        return Reply(status=200)

    def refused(self, mode: VendorMode) -> Reply:
        return Reply(status=429, headers={"Retry-After": "7"}) if mode is VendorMode.THROTTLES else Reply(status=404)


class WebhookBench(HttpBench):
    channel = Channel.WEBHOOK
    content = {"subject": "Hi", "body": "Grüße"}
    vendor: FakeEndpoint

    def __init__(self, vendor: FakeEndpoint, transport: Transport) -> None:
        self.vendor = vendor
        self.provider = Webhook.build(tools_with(transport, SECRET))

    def address(self, mode: VendorMode) -> dict[str, str]:
        return {"url": f"{self.vendor.url}/hooks/{mode}"}

    def reference(self, message: OutgoingMessage) -> str:
        return str(message.delivery_id)


@asynccontextmanager
async def webhook_bench() -> AsyncIterator[WebhookBench]:
    receiver = FakeEndpoint()
    async with running_vendor(receiver) as transport:
        yield WebhookBench(receiver, transport)


class WebhookHarness(Harness):
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

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with webhook_bench() as bench:
            yield bench
