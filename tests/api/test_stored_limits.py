"""What is stored of a recipient has a limit after the merge, however many requests it is given in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.schemas.recipients import ATTRIBUTES_TOO_LARGE
from bootstrap import Parts
from domain.channels import DeviceKind
from domain.stored_limits import ATTRIBUTE_BYTES, ATTRIBUTE_VALUES, DEVICES, PREFERENCE_TYPES
from storage import devices
from storage.devices import NewDevice
from tests.api.shops import Shop, faults, open_shop
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres

ALMOST = "x" * (ATTRIBUTE_BYTES - 100)
TOO_LARGE = {"/attributes": ATTRIBUTES_TOO_LARGE}


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    """Has a type `news` and a recipient."""
    async with open_shop(parts) as shop:
        template = {"name": "news", "channel": "sms", "language": "en", "body_template": "Hi", "publish": True}
        assert (await shop.http.post("/templates", json=template)).status_code == 201
        kind = {"route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
        assert (await shop.put("/notification-types/news", kind)).status_code == 201
        await shop.with_person()
        yield shop


def path(shop: Shop, *below: str) -> str:
    return "/".join((f"/recipients/{shop.person}", *below))


async def attributes(shop: Shop, recipient_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await shop.http.get(f"/recipients/{recipient_id}")).json()["attributes"]
    return found


async def test_many_patches_cannot_exceed_the_limit_of_attributes(shop: Shop) -> None:
    """A profile of 12 patches of 200 kB used to be stored, and every later send failed to render."""
    assert (await shop.http.patch(path(shop), json={"attributes": {"first": ALMOST}})).status_code == 200
    more = {"locale": "de", "attributes": {"second": "x" * 200}}
    assert faults(await shop.http.patch(path(shop), json=more)) == TOO_LARGE
    view = (await shop.http.get(path(shop))).json()
    assert (view["attributes"], view["locale"]) == ({"first": ALMOST}, None)


async def test_a_patch_can_replace_an_attribute_of_a_full_profile(shop: Shop) -> None:
    await shop.http.patch(path(shop), json={"attributes": {"first": ALMOST}})
    patched = await shop.http.patch(path(shop), json={"attributes": {"first": None, "second": ALMOST}})
    assert (patched.status_code, patched.json()["attributes"]) == (200, {"second": ALMOST})


@pytest.mark.parametrize("large", [{"a": "x" * ATTRIBUTE_BYTES}, {"a": [0] * ATTRIBUTE_VALUES}])
async def test_a_put_has_the_same_limits(shop: Shop, large: dict[str, Any]) -> None:
    assert faults(await shop.put(path(shop), {"attributes": large})) == TOO_LARGE
    assert await attributes(shop, shop.person) == {}


async def test_concurrent_patches_cannot_exceed_the_limit_together(shop: Shop) -> None:
    patches = [{"attributes": {f"part {index}": "x" * 30_000}} for index in range(6)]
    answers = await asyncio.gather(*(shop.http.patch(path(shop), json=patch) for patch in patches))
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [422] * 4
    assert len(await attributes(shop, shop.person)) == 2


def inline(recipient_id: str, **more: Any) -> dict[str, Any]:
    return {"notification_type": "news", "recipient": {"recipient_id": recipient_id, "attributes": more}}


async def test_an_inline_profile_has_the_same_limits(shop: Shop) -> None:
    send = inline("new", a=ALMOST, b="x" * 200)
    assert faults(await shop.http.post("/notifications/send", json=send)) == {
        "/recipient/attributes": ATTRIBUTES_TOO_LARGE
    }
    assert (await shop.http.get("/recipients/new")).status_code == 404


async def test_an_item_that_exceeds_the_limit_does_not_keep_others_from_being_accepted(shop: Shop) -> None:
    await shop.http.patch(path(shop), json={"attributes": {"first": ALMOST}})
    items = [
        inline("new", a=1),
        inline(shop.person, b="x" * 200),
        {"notification_type": "news", "recipient_id": shop.person},
    ]
    answers = (await shop.http.post("/notifications/send-batch", json={"items": items})).json()["items"]
    assert [answer["status"] for answer in answers] == [202, 422, 202]
    assert answers[1]["errors"] == [{"pointer": "/recipient/attributes", "detail": ATTRIBUTES_TOO_LARGE}]
    assert await attributes(shop, shop.person) == {"first": ALMOST}
    assert await attributes(shop, "new") == {"a": 1}


async def test_concurrent_inline_profiles_cannot_exceed_the_limit_together(shop: Shop) -> None:
    sends = [inline("new", **{f"part {index}": "x" * 30_000}) for index in range(6)]
    answers = await asyncio.gather(*(shop.http.post("/notifications/send", json=send) for send in sends))
    assert sorted(answer.status_code for answer in answers) == [202] * 2 + [422] * 4
    assert len(await attributes(shop, "new")) == 2


def switches(start: int, count: int, width: int = 20) -> dict[str, Any]:
    names = (f"{index:0{width}}" for index in range(start, start + count))
    return {"type_channel_preferences": {name: {"sms": False} for name in names}}


async def test_many_patches_cannot_exceed_the_limit_of_preferences(shop: Shop) -> None:
    half = PREFERENCE_TYPES // 2 + 1
    assert (await shop.http.patch(path(shop, "preferences"), json=switches(0, half))).status_code == 200
    again = await shop.http.patch(path(shop, "preferences"), json=switches(half, half))
    assert faults(again) == {"/type_channel_preferences": "must have at most 1000 members"}
    kept = (await shop.http.get(path(shop, "preferences"))).json()
    assert len(kept["type_channel_preferences"]) == half


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_preferences_have_a_limit_in_bytes(shop: Shop, method: str) -> None:
    long = switches(0, 300, width=250)
    response = await shop.http.request(method, path(shop, "preferences"), json=long)
    assert faults(response) == {"/type_channel_preferences": "must have at most 65536 bytes of JSON"}


async def test_a_recipient_has_a_limited_number_of_devices(shop: Shop) -> None:
    async def register(index: int) -> int:
        device = {"kind": "fcm", "token": f"{shop.person}-{index}"}
        return (await shop.put(path(shop, "devices", f"phone-{index}"), device)).status_code

    for index in range(DEVICES - 1):
        assert await register(index) == 201
    last = NewDevice(device="last", kind=DeviceKind.FCM, address={"token": f"{shop.person}-last"})
    async with shop.database.transaction() as session:
        await devices.save(session, shop.tenant, shop.person, last)
        concurrent = asyncio.create_task(register(DEVICES))
        await until_blocked(shop.database, concurrent)
    assert await concurrent == 409
    assert await register(0) == 200
