"""Sends of the type `shipped` to several recipients, and to the topic `lamps`."""

from typing import Any

from httpx2 import Response

from domain.json_types import Json
from tests.api_tenants import ApiTenant

SCHEMA = {"type": "object", "required": ["shop", "order"], "properties": {"order": {"type": "string"}}}
RECIPIENT_IDS = ("ada", "bob", "eve")


async def put_lamps(api_tenant: ApiTenant) -> None:
    """Put the type (SMS, priority 3), three recipients, and the topic with them."""
    template = {"body": "{{ shop }} {{ order }}", "variables_schema": SCHEMA}
    await api_tenant.put_type("shipped", ["sms"], template=template)
    for recipient_id in RECIPIENT_IDS:
        await api_tenant.put_recipient(recipient_id, phone="+447700900123")
        assert (await api_tenant.http.put(f"/topics/lamps/subscribers/{recipient_id}")).status_code == 204


def to(recipient_id: str, **more: Any) -> Json:
    return {"recipient_id": recipient_id, "payload": {"order": f"order of {recipient_id}"}, **more}


async def post(api_tenant: ApiTenant, *recipients: Json, key: str | None = None, **more: Any) -> Response:
    body: Json = {"notification_type": "shipped", "payload": {"shop": "Kite"}, **more}
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api_tenant.http.post(
        "/notifications/send", json=body | ({"recipients": list(recipients)} if recipients else {}), headers=headers
    )


def entries(response: Response) -> list[Json]:
    assert response.status_code == 202, response.text
    items: list[Json] = response.json()["items"]
    assert [item["index"] for item in items] == list(range(len(items)))
    return items


async def send(api_tenant: ApiTenant, *recipients: Json, **more: Any) -> list[Json]:
    return entries(await post(api_tenant, *recipients, **more))


async def to_topic(api_tenant: ApiTenant, **more: Any) -> list[Json]:
    return await send(api_tenant, topic="lamps", payload={"shop": "Kite", "order": "1"}, **more)


async def shown(api_tenant: ApiTenant, item: Json) -> Json:
    view: Json = (await api_tenant.http.get(f"/notifications/{item['id']}")).json()
    return view
