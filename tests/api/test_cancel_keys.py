"""Test cancelling all open notifications of an obsolete event by the key of their sends."""

import pytest
from sqlalchemy import text

from domain.json_types import Json
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres
STOPPED = {"sms": "stopped"}


@pytest.fixture
async def cart(api_tenant: ApiTenant) -> ApiTenant:
    await api_tenant.put_type("n", ["sms"])
    for recipient_id in ("ada", "bob"):
        await api_tenant.put_recipient(recipient_id, phone="+447700900123")
    return api_tenant


async def sent(
    api_tenant: ApiTenant, recipient_id: str = "ada", key: str | None = "cart-1", count: int = 1
) -> list[str]:
    one = {"notification_type": "n", "recipient_id": recipient_id, "cancel_key": key, "send_at": "2099-01-01T00:00:00Z"}
    items = (await api_tenant.http.post("/notifications/send-batch", json={"items": [one] * count})).json()["items"]
    assert {item["status"] for item in items} == {202}
    return [item["id"] for item in items]


async def cancel(api_tenant: ApiTenant, key: str = "cart-1", **more: str) -> Json:
    response = await api_tenant.http.post("/notifications/cancel", json={"cancel_key": key, **more})
    assert response.status_code == 200, response.text
    canceled: Json = response.json()
    return canceled


async def test_all_open_ones_with_the_key_are_canceled_and_others_stay(cart: ApiTenant) -> None:
    ids = [*await sent(cart), *await sent(cart, "bob")]
    others = [*await sent(cart, key="cart-2"), *await sent(cart, key=None)]
    response = await cancel(cart)
    assert response == {"items": [{"id": id, "status": "CANCELED", "channels": STOPPED} for id in ids], "more": False}
    assert await cancel(cart) == {"items": [], "more": False}
    for id in others:
        assert (await cart.http.get(f"/notifications/{id}")).json()["status"] == "PENDING"


async def test_a_recipient_limits_the_cancel(cart: ApiTenant) -> None:
    [of_ada], [of_bob] = await sent(cart), await sent(cart, "bob")
    assert [item["id"] for item in (await cancel(cart, recipient_id="bob"))["items"]] == [of_bob]
    assert [item["id"] for item in (await cancel(cart))["items"]] == [of_ada]


async def test_a_cancel_by_key_cancels_a_hundred_and_reports_more(cart: ApiTenant) -> None:
    ids = set(await sent(cart, count=101))
    first, second = await cancel(cart), await cancel(cart)
    assert (len(first["items"]), first["more"], len(second["items"]), second["more"]) == (100, True, 1, False)
    assert {item["id"] for item in (*first["items"], *second["items"])} == ids


@pytest.mark.parametrize(("body", "pointer"), [({}, "/cancel_key"), ({"cancel_key": ""}, "/cancel_key")])
async def test_a_cancel_needs_a_key(api_tenant: ApiTenant, body: Json, pointer: str) -> None:
    assert set(validation_errors(await api_tenant.http.post("/notifications/cancel", json=body))) == {pointer}


async def test_an_erasure_removes_the_key(cart: ApiTenant) -> None:
    await sent(cart)
    assert (await cart.http.request("DELETE", "/recipients/ada")).status_code == 202
    async with cart.database.transaction() as session:
        statement = text("SELECT count(*) FROM notification WHERE tenant = :tenant AND cancel_key IS NOT NULL")
        counted = await session.execute(statement, {"tenant": cart.tenant})
    assert counted.scalar_one() == 0
