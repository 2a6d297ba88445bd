"""Webhooks as the contract suite and their own tests meet them: a receiver that verifies as the standard says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import standardwebhooks

from domain.channels import Channel
from domain.messages import Result
from domain.outgoing import Message
from providers.transport import Transport
from providers.webhook import Webhook, tenant_secret
from storage.database import Database
from tests.providers.harness import NO_RECEIPTS, NOT_CHECKED, NOT_FOUND, Ability, Bench, Harness, tools_with
from tests.providers.harness_http import Day, HttpBench, Reply, Request, Vendor, serving

SECRET = b"the installation's key"
TENANT = UUID(int=7)


class Receiver(Vendor):
    """Keeps a message by its `webhook-id`, as the standard tells it to."""

    def read(self, request: Request) -> tuple[str, Day]:
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        try:
            standardwebhooks.Webhook(tenant_secret(SECRET, TENANT)).verify(request.body, dict(request.headers))
        except standardwebhooks.WebhookVerificationError as error:
            raise AssertionError(str(error)) from error
        return str(UUID(request.headers["webhook-id"])), Day(request.target.removeprefix("/hooks/"))

    def accepted(self, reference: str, request: Request) -> Reply:
        self.kept[reference] = 1
        return Reply(status=200)

    def refused(self, day: Day) -> Reply:
        return Reply(status=429, headers={"Retry-After": "7"}) if day is Day.THROTTLES else Reply(status=404)


class WebhookBench(HttpBench):
    channel = Channel.WEBHOOK
    content = {"subject": "Hi", "body": "Grüße"}
    vendor: Receiver

    def __init__(self, vendor: Receiver, transport: Transport) -> None:
        self.vendor = vendor
        self.provider = Webhook.build(tools_with(transport, SECRET))

    def address(self, day: Day) -> dict[str, str]:
        return {"url": f"{self.vendor.url}/hooks/{day}"}

    def reference(self, message: Message) -> str:
        return str(message.delivery_id)


@asynccontextmanager
async def webhook_bench() -> AsyncIterator[WebhookBench]:
    receiver = Receiver()
    async with serving(receiver) as transport:
        yield WebhookBench(receiver, transport)


class WebhookHarness(Harness):
    without = (
        {Ability.BREAKS: "there are no credentials of ours; 401 is about one endpoint"}
        | NO_RECEIPTS
        | NOT_CHECKED
        | NOT_FOUND
    )
    after_error = {
        Ability.ERRS: Result.NOT_ACCEPTED,
        Ability.REDIRECTS: Result.REFUSED,
        Ability.MALFORMS: Result.ACCEPTED,
    }

    @asynccontextmanager
    async def bench(self, database: Database) -> AsyncIterator[Bench]:
        async with webhook_bench() as bench:
            yield bench
