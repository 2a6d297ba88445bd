"""Make event endpoints, and messages that were sent to them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from models.columns import new_id
from models.event_webhooks import EventMessage
from storage import event_endpoints
from tests.api_tenants import ApiTenant

URL = "https://shop.example.com/hooks"
PATH = "/event-endpoints/shop"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


async def messages(api_tenant: ApiTenant, *standings: str, key: str = "shop") -> list[UUID]:
    """Insert a message of each status, ten minutes apart from 9:00 on. Return their ids."""
    ids = []
    async with api_tenant.database.transaction() as session:
        row = await event_endpoints.find(session, api_tenant.tenant, key)
        assert row is not None
        for number, standing in enumerate(standings):
            at = START + timedelta(minutes=10 * number)
            message = EventMessage(
                id=uuid4(),
                tenant=api_tenant.tenant,
                endpoint_id=row.id,
                notification_id=new_id(),
                kind="notification.failed",
                occurred_at=at,
                body="{}",
                attempt_count=8,
                next_attempt_at=at + timedelta(days=9_999) if standing == "waiting" else None,
                delivered_at=at if standing == "delivered" else None,
                given_up_at=at if standing == "failed" else None,
                last_error="status_500" if standing == "failed" else None,
                attempts=[{"at": at.isoformat(), "status": 500, "ms": 12, "error": "status_500"}],
            )
            session.add(message)
            ids.append(message.id)
    return ids


async def made(api_tenant: ApiTenant, key: str = "shop", **more: Any) -> dict[str, Any]:
    response = await api_tenant.put(f"/event-endpoints/{key}", {"url": URL, **more})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body
