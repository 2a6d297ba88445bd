"""Serve the example shop to a browser whose push service is a fake one, and drive the page of its visitor Mia."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from api.app import create_app
from api.server import ApiServer, server_config
from bootstrap import Container, open_container
from config import Settings
from domain.channels import Channel
from domain.evidence import AttemptState
from domain.notification_types import TrackingOptions
from domain.outgoing_messages import OutgoingMessage
from domain.tracking import TraceSigner
from embedded.ports import free_port
from providers.outcomes import ProviderAcceptance
from rendering.tracking import Tracker
from testing.vendors.web_push import FakeWebPush
from tests.api_tenants import ApiTenant
from tests.code.tree import ROOT
from tests.outgoing_messages import outgoing_message
from tests.polling import eventually, wait_until
from tests.storage.sends import DatabaseSend, open_database_tenant
from tests.web.browser import Browser, Target

# The page gets this subscription instead of that of the browser's own push service, which is not reachable.
SUBSCRIBE = """
const subscription = {subscription};
PushManager.prototype.subscribe = async (options) => {{
  window.subscribedWith = options;
  subscription.options = {{ applicationServerKey: new Uint8Array({key}).buffer }};
  subscription.unsubscribe = async () => (window.subscription = null);
  subscription.toJSON = () => ({{ endpoint: subscription.endpoint, keys: subscription.keys }});
  window.subscription = subscription;
  return subscription;
}};
PushManager.prototype.getSubscription = async () => window.subscription || null;
"""
CONTENT = {
    "title": "Order 7",
    "body": "It is on its way.",
    "link": "https://shop.example/orders/7",
    "actions": [{"action": "track", "title": "Track", "link": "https://shop.example/track/7"}],
}


@dataclass(frozen=True)
class ShopVisit:
    """The example shop with its visitor Mia, whose browser is subscribed at the push service."""

    url: str
    api_tenant: ApiTenant
    container: Container
    push_service: FakeWebPush
    page: Target
    browser: Browser

    async def state(self) -> str:
        return str(await self.page.evaluate("document.querySelector('#state').textContent"))

    async def devices(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.api_tenant.call("GET", "/recipients/mia"))["devices"]
        return found

    async def subscribe(self) -> None:
        await self.page.click("#notify")
        await eventually(self.state, lambda state: state == "You get notifications.")

    async def registration_id(self) -> str:
        async def find() -> list[dict[str, Any]]:
            updates = self.page.events("ServiceWorker.workerVersionUpdated")
            versions = [version for update in updates for version in update["versions"]]
            return [version for version in versions if version["status"] == "activated"]

        return str((await eventually(find, bool))[0]["registrationId"])

    async def deliver(self, message: OutgoingMessage) -> None:
        """Send the message by the adapter, and hand what the push service got to the service worker."""
        assert isinstance(await self.container.providers["web_push"].send(message), ProviderAcceptance)
        await self.push(json.dumps(self.push_service.shown[-1]))

    async def push(self, data: str) -> None:
        registration_id = await self.registration_id()
        await self.page.call(
            "ServiceWorker.deliverPushMessage", origin=self.url, registrationId=registration_id, data=data
        )


@asynccontextmanager
async def serving_api(database_url: str) -> AsyncIterator[Container]:
    port = free_port()
    given: dict[str, Any] = {
        "database_url": database_url,
        "temporal_address": "127.0.0.1:1",
        "web_push_providers": ["web_push"],
    }
    settings = Settings(env="dev", public_url=f"http://127.0.0.1:{port}", _env_file=None, **given)
    async with open_container(settings) as container:
        server: uvicorn.Server = ApiServer(server_config(create_app(container), "127.0.0.1", port))
        serving = asyncio.create_task(server.serve())
        try:
            await wait_until(lambda: server.started)
            yield container
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def running_shop(api_url: str, key: str) -> AsyncIterator[str]:
    environment = {"TOCSIN_API_URL": api_url, "TOCSIN_API_KEY": key}
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "examples.shop.shop_site", "0"), cwd=ROOT, stdout=PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip().removeprefix("listening on ").rstrip("/")
    finally:
        process.kill()
        await process.communicate()


async def mias_message(shop: ShopVisit) -> tuple[DatabaseSend, OutgoingMessage]:
    """Return an accepted attempt of a notification, and its message as `deliver` builds it."""
    sent = await (await open_database_tenant(shop.container.database)).send(Channel.WEB_PUSH)
    await sent.claim(channel=Channel.WEB_PUSH)
    await sent.answer(AttemptState.ACCEPTED, channel=Channel.WEB_PUSH)
    message = outgoing_message(
        Channel.WEB_PUSH,
        attempt_id=sent.attempt(channel=Channel.WEB_PUSH),
        notification_id=sent.id,
        address={"subscription": shop.push_service.subscription("good")},
        content=CONTENT,
    )
    settings = shop.container.settings
    tracker = Tracker(TraceSigner(settings.secret), settings.base_url)
    return sent, tracker.add_tracking(message, "web_push", TrackingOptions())


async def wait_for_status(shop: ShopVisit, sent: DatabaseSend, status: str) -> None:
    async def read() -> str:
        await shop.container.receipt_applier.apply_waiting()
        [row] = await sent.rows("delivery")
        return str(row["status"])

    await eventually(read, lambda found: found == status)
