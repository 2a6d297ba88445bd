"""Test which addresses are accepted in sends, profiles, devices and event endpoints."""

from collections.abc import AsyncIterator

import pytest

from bootstrap import Container
from config import Settings
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import KEYS, STRONG_SECRET

pytestmark = pytest.mark.postgres
PREMIUM, SATELLITE, SHARED, GERMAN, AUSTRIAN = (
    *("+499001234567", "+881612345678", "+491805123456"),
    *("+4917012345678", "+436641234567"),
)
OWN = "must not lead to this installation itself"
PORTS = "must use one of these ports: 80, 443"
BROWSER_KEYS = {"p256dh": "x", "auth": "y"}


@pytest.fixture
async def server(container: Container) -> AsyncIterator[ApiTenant]:
    """Open a container with production settings, reached at tocsin.example."""
    settings = Settings(secret_key=STRONG_SECRET, public_url="https://tocsin.example", **KEYS, _env_file=None)
    async with open_in_process_tenant(container, settings=settings) as api_tenant:
        yield api_tenant


async def regions(api_tenant: ApiTenant, codes: list[str] | None) -> None:
    assert (await api_tenant.http.patch("/settings", json={"phone_regions": codes})).status_code == 200


@pytest.mark.parametrize(
    ("phone", "word"), [(PREMIUM, "premium-rate"), (SHARED, "shared-cost"), (SATELLITE, "satellite")]
)
async def test_a_number_that_is_expensive_is_refused_with_the_reason(
    api_tenant: ApiTenant, phone: str, word: str
) -> None:
    for method in ("PUT", "PATCH"):
        response = await api_tenant.http.request(
            method, f"/recipients/{api_tenant.recipient_id}", json={"phone": phone}
        )
        assert list(validation_errors(response)) == ["/phone"]
        assert word in validation_errors(response)["/phone"]
        assert phone not in response.text
    listed = await api_tenant.http.post("/suppressions", json={"channel": "sms", "address": phone})
    assert listed.status_code == 201, "it can be suppressed all the same"


async def test_a_tenant_chooses_the_regions_of_numbers(api_tenant: ApiTenant, other_api_tenant: ApiTenant) -> None:
    await regions(api_tenant, ["DE"])
    assert list(
        validation_errors(await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", {"phone": AUSTRIAN}))
    ) == ["/phone"]
    path = await api_tenant.put_recipient(phone=GERMAN)
    assert "phone_regions" in validation_errors(await api_tenant.http.patch(path, json={"phone": AUSTRIAN}))["/phone"]
    await other_api_tenant.put_recipient(phone=AUSTRIAN)
    await regions(api_tenant, None)
    await api_tenant.put_recipient(phone=AUSTRIAN)


async def test_a_number_of_another_region_is_refused_in_a_send(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("order.shipped", ["sms"])
    await regions(api_tenant, ["DE"])
    recipient = {"recipient_id": api_tenant.recipient_id, "phone": AUSTRIAN}
    body = {"notification_type": "order.shipped", "recipient": recipient}
    assert list(validation_errors(await api_tenant.http.post("/notifications/send", json=body))) == ["/recipient/phone"]
    batch = (await api_tenant.http.post("/notifications/send-batch", json={"items": [body]})).json()["items"]
    assert [(item["status"], [error["pointer"] for error in item["errors"]]) for item in batch] == [
        (422, ["/recipient/phone"])
    ]
    body["recipient"] = {"recipient_id": api_tenant.recipient_id, "phone": GERMAN}
    assert (await api_tenant.http.post("/notifications/send", json=body)).status_code == 202


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://shop.example:8443/", PORTS),
        ("https://tocsin.example/api/v1/receipts/sandbox", OWN),
        ("https://TOCSIN.example/", OWN),
        ("http://shop.example/", "must be an https URL"),
    ],
)
async def test_an_invalid_target_is_refused_in_every_field(server: ApiTenant, url: str, wrong: str) -> None:
    path = await server.put_recipient()
    device = {"kind": "web_push", "subscription": {"endpoint": url, "keys": BROWSER_KEYS}}
    assert validation_errors(await server.put(f"{path}/devices/browser", device)) == {"/subscription/endpoint": wrong}
    assert validation_errors(await server.http.patch(path, json={"webhook_url": url})) == {"/webhook_url": wrong}
    assert validation_errors(await server.put("/event-endpoints/shop", {"url": url})) == {"/url": wrong}


@pytest.mark.parametrize("host", ["10.0.0.1", "inside.example", "no-such-name.invalid", "169.254.169.254"])
async def test_private_and_unknown_targets_are_taken_alike(server: ApiTenant, host: str) -> None:
    """No name is resolved before an attempt, whose reason is the same for both."""
    response = await server.put("/event-endpoints/shop", {"url": f"https://{host}/"})
    assert response.status_code in (200, 201)
