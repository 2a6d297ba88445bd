"""Test web push in Chromium: a visitor of the example shop subscribes, gets a message of the adapter, and clicks it.

Chromium has no push service here: the page gets the subscription of a fake one, and DevTools hands the message that the
fake has decrypted to the service worker. Skipped without Chromium.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.database import Database
from testing.vendors.web_push import FakeWebPush, decoded
from tests.api_tenants import open_in_process_tenant
from tests.polling import eventually, wait_until
from tests.providers.harness_web_push import PRIVATE_KEY, PUBLIC_KEY
from tests.web.browser import CHROMIUM, ScriptError, running_browser
from tests.web.shop_visits import (
    CONTENT,
    SUBSCRIBE,
    ShopVisit,
    mias_message,
    running_shop,
    serving_api,
    wait_for_status,
)

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]

NOTIFICATIONS = """
registration.getNotifications().then((shown) => shown.map(
  ({ title, body, tag, actions }) => ({ title, body, tag, actions: actions.map(({ action }) => action) })))
"""
# A script cannot make a trusted click, whose event alone may extend its life and open windows.
CLICK = """
(async () => {{
  const opened = [];
  self.clients.openWindow = async (url) => opened.push(url);
  const [notification] = await registration.getNotifications();
  const event = new NotificationEvent("notificationclick", {{ notification, action: {action} }});
  let work;
  Object.defineProperty(event, "waitUntil", {{ value: (promise) => (work = promise) }});
  self.dispatchEvent(event);
  await work;
  return opened;
}})()
"""
RENEW = """
(async () => {{
  const event = new Event("pushsubscriptionchange");
  let work;
  event.waitUntil = (promise) => (work = promise);
  event.newSubscription = {subscription};
  self.dispatchEvent(event);
  await work;
}})()
"""


@pytest.fixture
async def shop(
    database_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ShopVisit]:
    monkeypatch.setenv("TOCSIN_WEB_PUSH_PRIVATE_KEY", PRIVATE_KEY)
    monkeypatch.setenv("TOCSIN_WEB_PUSH_SUBJECT", "mailto:ops@example.com")
    async with (
        serving_api(database_url) as container,
        open_in_process_tenant(container) as api_tenant,
        running_shop(container.settings.base_url, api_tenant.key) as url,
        FakeWebPush(PUBLIC_KEY).running() as push_service,
        running_browser(tmp_path) as browser,
    ):
        await api_tenant.put_recipient("mia")
        await browser.call("Browser.grantPermissions", origin=url, permissions=["notifications"])
        page = await browser.open_page()
        script = SUBSCRIBE.format(
            subscription=json.dumps(push_service.subscription("good")), key=list(decoded(PUBLIC_KEY))
        )
        for domain in ("Page", "ServiceWorker"):
            await page.call(f"{domain}.enable")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        await page.call("Page.navigate", url=f"{url}/")
        await wait_until(lambda: page.events("Page.loadEventFired"))
        shop = ShopVisit(url, api_tenant, container, push_service, page, browser)
        await eventually(shop.state, lambda state: state == "You get no notifications.")
        yield shop


async def test_a_visitor_subscribes_on_a_click_and_stops(shop: ShopVisit) -> None:
    assert await shop.devices() == []
    await shop.subscribe()
    assert await shop.page.evaluate("window.subscribedWith") == {
        "userVisibleOnly": True,
        "applicationServerKey": PUBLIC_KEY,
    }
    [device] = await shop.devices()
    assert device["kind"] == "web_push"
    assert device["device"] == await shop.page.evaluate("localStorage.getItem('tocsin-device')")
    worker = await shop.page.evaluate("navigator.serviceWorker.ready.then((found) => found.active.scriptURL)")
    assert worker.endswith(f"/tocsin-sw.js?key={PUBLIC_KEY}&register=%2Fpush%2Fdevices&device={device['device']}")
    await shop.page.click("#stop")
    await eventually(shop.state, lambda state: state == "You get no notifications.")
    assert await shop.devices() == []


async def test_permission_is_asked_for_on_a_click_alone(shop: ShopVisit) -> None:
    await shop.page.evaluate("Object.defineProperty(Notification, 'permission', { get: () => 'default' })")
    with pytest.raises(ScriptError, match="call subscribe in the handler of a click"):
        await shop.page.evaluate("import('/tocsin-push.js').then(({ subscribe }) => subscribe({}))")
    assert await shop.page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0


async def test_a_renewed_subscription_replaces_that_of_the_same_device(shop: ShopVisit) -> None:
    await shop.subscribe()
    [before] = await shop.devices()
    worker = await shop.browser.attach_to_service_worker()
    await worker.evaluate(RENEW.format(subscription=json.dumps(shop.push_service.subscription("renewed"))))
    [after] = await shop.devices()
    assert after["device"] == before["device"]
    assert after["updated_at"] > before["updated_at"]


async def test_a_message_is_shown_once_and_its_click_is_reported(shop: ShopVisit) -> None:
    await shop.subscribe()
    sent, message = await mias_message(shop)
    await shop.deliver(message)
    worker = await shop.browser.attach_to_service_worker()
    shown = {"title": CONTENT["title"], "body": CONTENT["body"], "tag": str(message.delivery_id), "actions": ["track"]}
    await eventually(lambda: worker.evaluate(NOTIFICATIONS), lambda found: found == [shown])
    await wait_for_status(shop, sent, "DELIVERED")
    assert await worker.evaluate(CLICK.format(action='""')) == [CONTENT["link"]]
    await wait_for_status(shop, sent, "OPENED")
    assert await worker.evaluate(NOTIFICATIONS) == []


async def test_an_action_opens_its_own_link(shop: ShopVisit) -> None:
    await shop.subscribe()
    _, message = await mias_message(shop)
    await shop.deliver(message)
    worker = await shop.browser.attach_to_service_worker()
    await eventually(lambda: worker.evaluate(NOTIFICATIONS), bool)
    assert await worker.evaluate(CLICK.format(action='"track"')) == ["https://shop.example/track/7"]


async def test_a_duplicate_is_not_shown_again_after_the_visitor_closed_it(shop: ShopVisit) -> None:
    await shop.subscribe()
    sent, message = await mias_message(shop)
    await shop.deliver(message)
    worker = await shop.browser.attach_to_service_worker()
    await wait_for_status(shop, sent, "DELIVERED")
    await worker.evaluate("registration.getNotifications().then(([shown]) => shown.close())")
    await eventually(lambda: worker.evaluate(NOTIFICATIONS), lambda found: found == [])
    other_sent, other = await mias_message(shop)
    await shop.deliver(message)
    # A second step of the same notification's route is no duplicate.
    await shop.deliver(replace(other, notification_id=message.notification_id))
    await wait_for_status(shop, other_sent, "DELIVERED")
    assert [each["tag"] for each in await worker.evaluate(NOTIFICATIONS)] == [str(other.delivery_id)]


async def test_a_message_is_shown_and_reported_without_storage(shop: ShopVisit) -> None:
    await shop.subscribe()
    sent, message = await mias_message(shop)
    worker = await shop.browser.attach_to_service_worker()
    await worker.evaluate("IDBFactory.prototype.open = () => { throw new Error('no storage'); }; true")
    await shop.deliver(message)
    await wait_for_status(shop, sent, "DELIVERED")
    assert [each["tag"] for each in await worker.evaluate(NOTIFICATIONS)] == [str(message.delivery_id)]


async def test_messages_and_notifications_of_other_senders_are_left_alone(shop: ShopVisit) -> None:
    """A site may load the worker into its own, which shows other messages too."""
    await shop.subscribe()
    sent, message = await mias_message(shop)
    for data in ('{"title": "Of another sender"}', "null", "no JSON"):
        await shop.push(data)
    await shop.deliver(message)
    worker = await shop.browser.attach_to_service_worker()
    await wait_for_status(shop, sent, "DELIVERED")
    assert [each["tag"] for each in await worker.evaluate(NOTIFICATIONS)] == [str(message.delivery_id)]
    await worker.evaluate("registration.getNotifications().then(([shown]) => shown.close())")
    await eventually(lambda: worker.evaluate(NOTIFICATIONS), lambda found: found == [])
    await worker.evaluate("registration.showNotification('Of another script', { data: { link: '/cart' } })")
    assert await worker.evaluate(CLICK.format(action='""')) == []
    assert [each["title"] for each in await worker.evaluate(NOTIFICATIONS)] == ["Of another script"]
