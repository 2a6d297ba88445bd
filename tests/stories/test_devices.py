"""Check a recipient with several devices: a dead one, a throttled one, and devices in other languages."""

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootstrap import open_container
from domain.stored_limits import MAX_CONCURRENT_CALLS
from testing.installation import running_api
from testing.vendors.fcm import FakeFcm
from testing.vendors.modes import VendorMode
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine, engine_servers
from tests.polling import wait_until
from tests.stories.workers import WorkerGroup, open_worker_group

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@dataclass(kw_only=True)
class FcmStack:
    """Hold an installation whose push provider is FCM, with one worker process. `modes` are by token."""

    api_tenant: ApiTenant
    vendor: FakeFcm
    workers: WorkerGroup
    modes: dict[str, VendorMode] = field(default_factory=dict)

    @property
    def accepted(self) -> Counter[str]:
        """Return the messages that FCM accepted, by token."""
        calls = self.vendor.log.calls
        return Counter(call.message.to for call in calls if call.message and call.mode is VendorMode.GOOD)

    def count_calls(self, token: str) -> int:
        return sum(1 for call in self.vendor.log.calls if call.message and call.message.to == token)

    async def kill_worker(self) -> None:
        [dead] = self.workers.pids
        os.kill(dead, signal.SIGKILL)
        await wait_until(lambda: self.workers.pids - {dead}, within=60)


@pytest.fixture
async def fcm_stack(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FcmStack]:
    async with FakeFcm().running() as vendor:
        environment = {
            "TOCSIN_PUSH_PROVIDERS": "fcm",
            "TOCSIN_FCM_CREDENTIALS": json.dumps(vendor.account()),
            "TOCSIN_FCM_BASE_URL": vendor.url,
            "TOCSIN_FCM_TOKEN_URL": f"{vendor.url}/token",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        async with (
            engine_servers(database_url, tmp_path) as (settings, client),
            open_container(settings, client=client) as container,
            running_api(container),
            open_worker_group(settings, tmp_path) as workers,
            open_api_tenant(Engine(container=container, temporal_address=settings.temporal_address)) as api_tenant,
        ):
            await workers.start("worker")
            stack = FcmStack(api_tenant=api_tenant, vendor=vendor, workers=workers)
            vendor.mode_of = lambda token: stack.modes.get(token, VendorMode.GOOD)
            yield stack


async def test_four_devices_get_one_message_each_unless_their_token_is_dead(fcm_stack: FcmStack) -> None:
    """Kill the worker while one device waits for the end of its throttling."""
    api_tenant = fcm_stack.api_tenant
    fcm_stack.modes = {"t-dead": VendorMode.REFUSES, "t-busy": VendorMode.THROTTLES_SECONDS}
    await api_tenant.put_type("ping", ["push"])
    await api_tenant.put_recipient("ada")
    for name in ("phone", "tablet", "dead", "busy"):
        await api_tenant.put_device("ada", name, f"t-{name}")
    id = await api_tenant.send("ping")
    await wait_until(lambda: fcm_stack.accepted == {"t-phone": 1, "t-tablet": 1} and fcm_stack.count_calls("t-busy"))
    await api_tenant.wait_for_status(id, "SENT")
    await fcm_stack.kill_worker()
    fcm_stack.modes["t-busy"] = VendorMode.GOOD
    notification = await api_tenant.wait_until_finished(id, within=90)
    assert notification["status"] == "SENT"
    assert fcm_stack.accepted == {"t-phone": 1, "t-tablet": 1, "t-busy": 1}
    assert fcm_stack.count_calls("t-dead") == 1
    [delivery] = notification["deliveries"]
    assert (delivery["status"], len({attempt["endpoint_id"] for attempt in delivery["attempts"]})) == ("SENT", 4)
    devices = (await api_tenant.call("GET", "/recipients/ada"))["devices"]
    assert {device["device"] for device in devices} == {"phone", "tablet", "busy"}


async def test_a_held_device_resumes_while_others_are_retried(fcm_stack: FcmStack) -> None:
    """All devices of a delivery share the mark of a hold, and a call to one of them removes it. The phone is called
    after the throttled device, because the calls to the others do not end."""
    api_tenant = fcm_stack.api_tenant
    slow = [f"slow-{number}" for number in range(MAX_CONCURRENT_CALLS - 1)]
    fcm_stack.modes = {f"t-{name}": VendorMode.HOLDS for name in slow} | {"t-busy": VendorMode.THROTTLES_SECONDS}
    await api_tenant.put_type("ping", ["push"])
    await api_tenant.put_recipient("ada")
    for name in ("phone", *slow, "busy"):
        await api_tenant.put_device("ada", name, f"t-{name}")
    id = await api_tenant.send("ping")
    await wait_until(lambda: fcm_stack.accepted == {"t-phone": 1}, within=60)
    notification = await api_tenant.wait_for_status(id, "SENT")
    assert notification["finished_at"] is None
    assert "held" in [entry["kind"] for entry in notification["timeline"]]


async def test_each_device_gets_its_own_language(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("ping", ["push"], template={"body_template": "Hello {{ name }}"})
    await api_tenant.add_template("ping", "push", "Hallo {{ name }} ({{ locale }})", language="de")
    await api_tenant.put_recipient("ada", locale="en-GB")
    locales = {"phone": None, "tablet": "de-AT", "watch": "de-CH", "car": "fr", "laptop": "en"}
    for name, locale in locales.items():
        device = {"kind": "fcm", "token": f"t-{name}", "locale": locale}
        await api_tenant.call("PUT", f"/recipients/ada/devices/{name}", device)
    id = await api_tenant.send("ping")
    [delivery] = (await api_tenant.wait_for_end(id, "DELIVERED"))["deliveries"]
    hello, hallo = {"title": "", "body": "Hello Ada"}, {"title": "", "body": "Hallo Ada (de)"}
    assert (delivery["language"], delivery["rendered_content"]) == ("en", {**hello, "translations": {"de": hallo}})
    assert {message["address"]["token"]: message["content"] for message in await api_tenant.list_outbox()} == {
        "t-phone": hello,
        "t-tablet": hallo,
        "t-watch": hallo,
        "t-car": hello,
        "t-laptop": hello,
    }


async def test_a_language_that_cannot_be_rendered_fails_the_channel(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("ping", ["push"])
    await api_tenant.add_template("ping", "push", "Hallo {{ nmae }}", language="de")
    await api_tenant.put_recipient("ada")
    await api_tenant.call("PUT", "/recipients/ada/devices/a", {"kind": "fcm", "token": "t", "locale": "de"})
    notification = await api_tenant.wait_for_end(await api_tenant.send("ping"), "FAILED")
    assert "undefined variable 'nmae'" in notification["failure_reason"]
