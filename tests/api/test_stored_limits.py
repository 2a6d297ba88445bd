"""Test that the stored data of a recipient is limited after a merge, for any number of requests."""

import asyncio
from typing import Any

import pytest

from domain.channels import DeviceKind
from domain.stored_limits import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_VALUES, MAX_DEVICES, MAX_PREFERENCE_TYPES
from services.acceptance import ATTRIBUTES_TOO_LARGE
from storage import devices
from storage.devices import NewDevice
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.storage.locks import until_blocked

pytestmark = pytest.mark.postgres

ALMOST = "x" * (MAX_ATTRIBUTE_BYTES - 100)
TOO_LARGE = {"/attributes": ATTRIBUTES_TOO_LARGE}


@pytest.fixture
async def api_tenant(api_tenant: ApiTenant) -> ApiTenant:
    """Return a tenant with a type `news` and a recipient."""
    await api_tenant.put_type("news", ["sms"])
    await api_tenant.put_recipient()
    return api_tenant


def path(api_tenant: ApiTenant, *below: str) -> str:
    return "/".join((f"/recipients/{api_tenant.recipient_id}", *below))


async def attributes(api_tenant: ApiTenant, recipient_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api_tenant.http.get(f"/recipients/{recipient_id}")).json()["attributes"]
    return found


async def test_many_patches_cannot_exceed_the_limit_of_attributes(api_tenant: ApiTenant) -> None:
    """A profile of 12 patches of 200 kB was accepted before, and rendering every later send failed."""
    assert (await api_tenant.http.patch(path(api_tenant), json={"attributes": {"first": ALMOST}})).status_code == 200
    more = {"locale": "de", "attributes": {"second": "x" * 200}}
    assert validation_errors(await api_tenant.http.patch(path(api_tenant), json=more)) == TOO_LARGE
    view = (await api_tenant.http.get(path(api_tenant))).json()
    assert (view["attributes"], view["locale"]) == ({"first": ALMOST}, None)


async def test_a_patch_can_replace_an_attribute_of_a_full_profile(api_tenant: ApiTenant) -> None:
    await api_tenant.http.patch(path(api_tenant), json={"attributes": {"first": ALMOST}})
    patched = await api_tenant.http.patch(path(api_tenant), json={"attributes": {"first": None, "second": ALMOST}})
    assert (patched.status_code, patched.json()["attributes"]) == (200, {"second": ALMOST})


@pytest.mark.parametrize("large", [{"a": "x" * MAX_ATTRIBUTE_BYTES}, {"a": [0] * MAX_ATTRIBUTE_VALUES}])
async def test_a_put_has_the_same_limits(api_tenant: ApiTenant, large: dict[str, Any]) -> None:
    assert validation_errors(await api_tenant.put(path(api_tenant), {"attributes": large})) == TOO_LARGE
    assert await attributes(api_tenant, api_tenant.recipient_id) == {}


async def test_concurrent_patches_cannot_exceed_the_limit_together(api_tenant: ApiTenant) -> None:
    patches = [{"attributes": {f"part {index}": "x" * 30_000}} for index in range(6)]
    responses = await asyncio.gather(*(api_tenant.http.patch(path(api_tenant), json=patch) for patch in patches))
    assert sorted(response.status_code for response in responses) == [200] * 2 + [422] * 4
    assert len(await attributes(api_tenant, api_tenant.recipient_id)) == 2


def inline(recipient_id: str, **more: Any) -> dict[str, Any]:
    return {"notification_type": "news", "recipient": {"recipient_id": recipient_id, "attributes": more}}


async def test_an_inline_profile_has_the_same_limits(api_tenant: ApiTenant) -> None:
    send = inline("new", a=ALMOST, b="x" * 200)
    assert validation_errors(await api_tenant.http.post("/notifications/send", json=send)) == {
        "/recipient/attributes": ATTRIBUTES_TOO_LARGE
    }
    assert (await api_tenant.http.get("/recipients/new")).status_code == 404


async def test_an_item_over_the_limit_does_not_block_other_items(api_tenant: ApiTenant) -> None:
    await api_tenant.http.patch(path(api_tenant), json={"attributes": {"first": ALMOST}})
    items = [
        inline("new", a=1),
        inline(api_tenant.recipient_id, b="x" * 200),
        {"notification_type": "news", "recipient_id": api_tenant.recipient_id},
    ]
    responses = (await api_tenant.http.post("/notifications/send-batch", json={"items": items})).json()["items"]
    assert [response["status"] for response in responses] == [202, 422, 202]
    assert responses[1]["errors"] == [{"pointer": "/recipient/attributes", "detail": ATTRIBUTES_TOO_LARGE}]
    assert await attributes(api_tenant, api_tenant.recipient_id) == {"first": ALMOST}
    assert await attributes(api_tenant, "new") == {"a": 1}


async def test_concurrent_inline_profiles_cannot_exceed_the_limit_together(api_tenant: ApiTenant) -> None:
    sends = [inline("new", **{f"part {index}": "x" * 30_000}) for index in range(6)]
    responses = await asyncio.gather(*(api_tenant.http.post("/notifications/send", json=send) for send in sends))
    assert sorted(response.status_code for response in responses) == [202] * 2 + [422] * 4
    assert len(await attributes(api_tenant, "new")) == 2


def switches(start: int, count: int, width: int = 20) -> dict[str, Any]:
    names = (f"{index:0{width}}" for index in range(start, start + count))
    return {"type_channel_preferences": {name: {"sms": False} for name in names}}


async def test_many_patches_cannot_exceed_the_limit_of_preferences(api_tenant: ApiTenant) -> None:
    half = MAX_PREFERENCE_TYPES // 2 + 1
    assert (await api_tenant.http.patch(path(api_tenant, "preferences"), json=switches(0, half))).status_code == 200
    again = await api_tenant.http.patch(path(api_tenant, "preferences"), json=switches(half, half))
    assert validation_errors(again) == {"/type_channel_preferences": "must have at most 1000 members"}
    kept = (await api_tenant.http.get(path(api_tenant, "preferences"))).json()
    assert len(kept["type_channel_preferences"]) == half


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_preferences_have_a_limit_in_bytes(api_tenant: ApiTenant, method: str) -> None:
    long = switches(0, 300, width=250)
    response = await api_tenant.http.request(method, path(api_tenant, "preferences"), json=long)
    assert validation_errors(response) == {"/type_channel_preferences": "must have at most 65536 bytes of JSON"}


async def test_a_recipient_has_a_limited_number_of_devices(api_tenant: ApiTenant) -> None:
    async def register(index: int) -> int:
        device = {"kind": "fcm", "token": f"{api_tenant.recipient_id}-{index}"}
        return (await api_tenant.put(path(api_tenant, "devices", f"phone-{index}"), device)).status_code

    for index in range(MAX_DEVICES - 1):
        assert await register(index) == 201
    last = NewDevice(device="last", kind=DeviceKind.FCM, address={"token": f"{api_tenant.recipient_id}-last"})
    async with api_tenant.database.transaction() as session:
        await devices.save(session, api_tenant.tenant, api_tenant.recipient_id, last)
        concurrent = asyncio.create_task(register(MAX_DEVICES))
        await until_blocked(api_tenant.database, concurrent)
    assert await concurrent == 409
    assert await register(0) == 200
