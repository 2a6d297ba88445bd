"""Which addresses are taken wherever they are written: in sends, profiles, devices and event endpoints."""

from collections.abc import AsyncIterator

import pytest

from bootstrap import Parts
from config import Settings
from tests import keys
from tests.api.shops import Shop, faults, open_shop
from tests.own_secret import OWN_SECRET

pytestmark = pytest.mark.postgres
PREMIUM, SATELLITE, SHARED, GERMAN, AUSTRIAN = (
    *("+499001234567", "+881612345678", "+491805123456"),
    *("+4917012345678", "+436641234567"),
)
OWN = "must not lead to this installation itself"
PORTS = "must use one of these ports: 80, 443"
KEYS = {"p256dh": "x", "auth": "y"}


@pytest.fixture
async def server(parts: Parts) -> AsyncIterator[Shop]:
    """Outside development, reached at tocsin.example."""
    settings = Settings(secret_key=OWN_SECRET, public_url="https://tocsin.example", **keys.KEYS, _env_file=None)
    async with open_shop(parts, settings=settings) as shop:
        yield shop


async def regions(shop: Shop, codes: list[str] | None) -> None:
    assert (await shop.http.patch("/settings", json={"phone_regions": codes})).status_code == 200


@pytest.mark.parametrize(
    ("phone", "word"), [(PREMIUM, "premium-rate"), (SHARED, "shared-cost"), (SATELLITE, "satellite")]
)
async def test_a_number_that_is_expensive_is_refused_with_the_reason(shop: Shop, phone: str, word: str) -> None:
    for method in ("PUT", "PATCH"):
        response = await shop.http.request(method, f"/recipients/{shop.person}", json={"phone": phone})
        assert list(faults(response)) == ["/phone"]
        assert word in faults(response)["/phone"]
        assert phone not in response.text
    listed = await shop.http.post("/suppressions", json={"channel": "sms", "address": phone})
    assert listed.status_code == 201, "it can be suppressed all the same"


async def test_a_tenant_chooses_the_regions_of_numbers(shop: Shop, other_shop: Shop) -> None:
    await regions(shop, ["DE"])
    assert list(faults(await shop.put(f"/recipients/{shop.person}", {"phone": AUSTRIAN}))) == ["/phone"]
    path = await shop.with_person(phone=GERMAN)
    assert "phone_regions" in faults(await shop.http.patch(path, json={"phone": AUSTRIAN}))["/phone"]
    await other_shop.with_person(phone=AUSTRIAN)
    await regions(shop, None)
    await shop.with_person(phone=AUSTRIAN)


async def test_a_number_of_another_region_is_refused_in_a_send(shop: Shop) -> None:
    made = await shop.put(
        "/notification-types/order.shipped", {"route": [{"channels": ["sms"]}], "templates": {"sms": "words"}}
    )
    assert made.status_code in (200, 201), made.text
    await regions(shop, ["DE"])
    recipient = {"recipient_id": shop.person, "phone": AUSTRIAN}
    body = {"notification_type": "order.shipped", "recipient": recipient}
    assert list(faults(await shop.http.post("/notifications/send", json=body))) == ["/recipient/phone"]
    batch = (await shop.http.post("/notifications/send-batch", json={"items": [body]})).json()["items"]
    assert [(item["status"], [error["pointer"] for error in item["errors"]]) for item in batch] == [
        (422, ["/recipient/phone"])
    ]
    body["recipient"] = {"recipient_id": shop.person, "phone": GERMAN}
    assert (await shop.http.post("/notifications/send", json=body)).status_code == 202


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://shop.example:8443/", PORTS),
        ("https://tocsin.example/api/v1/receipts/sandbox", OWN),
        ("https://TOCSIN.example/", OWN),
        ("http://shop.example/", "must be an https URL"),
    ],
)
async def test_a_url_that_is_no_target_is_refused_wherever_it_is_written(server: Shop, url: str, wrong: str) -> None:
    path = await server.with_person()
    device = {"kind": "web_push", "subscription": {"endpoint": url, "keys": KEYS}}
    assert faults(await server.put(f"{path}/devices/browser", device)) == {"/subscription/endpoint": wrong}
    assert faults(await server.http.patch(path, json={"webhook_url": url})) == {"/webhook_url": wrong}
    assert faults(await server.put("/event-endpoints/shop", {"url": url})) == {"/url": wrong}


@pytest.mark.parametrize("host", ["10.0.0.1", "inside.example", "no-such-name.invalid", "169.254.169.254"])
async def test_private_and_unknown_targets_are_taken_alike(server: Shop, host: str) -> None:
    """Nothing is looked up before an attempt, whose reason is the same for all of them."""
    response = await server.put("/event-endpoints/shop", {"url": f"https://{host}/"})
    assert response.status_code in (200, 201)
