"""Open a tenant of the API, with the operations that tests need. Its API runs in this process or in an engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import CursorResult, text

from bootstrap import Container
from config import Settings
from domain.audit import Actor
from domain.json_types import Json
from domain.names import tick_schedule
from models.columns import new_id
from models.tenants import Tenant
from storage.acceptance import NewNotification, accept
from storage.api_keys import upsert_key
from storage.database import Database
from storage.tenants import ensure_tenant, find_by_id, set_email_domains
from tests.apps import app_of
from tests.engine import Engine, exists_in_temporal
from tests.polling import DEFAULT_TIMEOUT, eventually

SCOPES = ("send", "read", "manage")


@dataclass(frozen=True, kw_only=True)
class ApiTenant:
    """Hold a tenant and a client with its key."""

    tenant: UUID
    tenant_key: str
    key: str
    http: AsyncClient
    database: Database
    running_engine: Engine | None = None
    recipient_id: str = "ada"

    @property
    def engine(self) -> Engine:
        assert self.running_engine is not None, "the API runs without an engine"
        return self.running_engine

    async def add_template(self, name: str, channel: str, body: str = "Hello {{ name }}", **fields: Any) -> None:
        saved = await self.post_template(name, channel, body, **fields)
        assert saved.status_code == 201, saved.text

    async def post_template(self, name: str, channel: str, body: str = "Hello {{ name }}", **fields: Any) -> Response:
        """Return the response with any status."""
        template = {"name": name, "channel": channel, "language": "en", "body_template": body, "publish": True}
        subject = {"subject_template": "Hi {{ name }}"} if channel == "email" else {}
        return await self.http.post("/templates", json={**template, **subject, "variables_schema": {}, **fields})

    async def put_type(self, key: str, *steps: list[str] | Json, template: Json | None = None, **fields: Any) -> None:
        """Put a type with one route step per list of channels or step, and a template `key` for each channel."""
        route = [step if isinstance(step, dict) else {"channels": step} for step in steps]
        channels = dict.fromkeys(channel for step in route for channel in step["channels"])
        for channel in channels:
            await self.add_template(key, channel, **(template or {}))
        body = {"route": route, "templates": dict.fromkeys(channels, key), **fields}
        await self.call("PUT", f"/notification-types/{key}", body)

    async def allow_email_domains(self, *domains: str) -> None:
        """Set the email domains of the tenant, as the operator does. The API caches them for up to five seconds."""
        async with self.database.transaction() as session:
            tenant = await find_by_id(session, self.tenant)
            await set_email_domains(session, tenant, domains, Actor(name="operator"))

    async def put_recipient(self, recipient_id: str = "ada", **profile: Any) -> str:
        """Return the recipient's path."""
        path = f"/recipients/{recipient_id}"
        await self.call("PUT", path, profile)
        return path

    async def put_device(self, recipient_id: str, device: str, token: str, kind: str = "fcm") -> None:
        await self.call("PUT", f"/recipients/{recipient_id}/devices/{device}", {"kind": kind, "token": token})

    async def send(
        self, notification_type: str, recipient_id: str = "ada", *, key: str | None = None, **fields: Any
    ) -> str:
        """Send to a stored recipient, or to the inline `recipient` in `fields`, and return the notification's id."""
        recipient = {} if "recipient" in fields else {"recipient_id": recipient_id}
        body = {"notification_type": notification_type, **recipient, "payload": {"name": "Ada"}, **fields}
        response = await self.post_send(body, key=key)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def post_send(self, body: Any, *, key: str | None = None) -> Response:
        """Return the response with any status."""
        return await self.http.post("/notifications/send", json=body, headers=_idempotency(key))

    async def send_batch(self, *items: Any, key: str | None = None) -> list[Json]:
        """Return the response of each item."""
        body = {"items": items}
        response = await self.http.post("/notifications/send-batch", json=body, headers=_idempotency(key))
        assert response.status_code == 202, response.text
        responses: list[Json] = response.json()["items"]
        assert [item["index"] for item in responses] == list(range(len(items)))
        return responses

    async def query(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Run a statement, of which `:tenant` is this tenant, and return its rows."""
        async with self.database.transaction() as session:
            rows = cast(CursorResult[Any], await session.execute(text(statement), {"tenant": self.tenant, **values}))
            return [dict(row) for row in rows.mappings()] if rows.returns_rows else []

    async def count_notifications(self) -> int:
        [row] = await self.query("SELECT count(*) AS number FROM notification WHERE tenant = :tenant")
        return int(row["number"])

    async def send_expired(self, type_key: str, recipient_id: str = "ada") -> str:
        """Accept a notification that has expired, as if no worker claimed it in time. The API would refuse it."""
        notification_type = await self.engine.container.catalog.current_type(self.tenant, type_key)
        assert notification_type is not None
        new = NewNotification(
            id=new_id(),
            recipient_id=recipient_id,
            notification_type=type_key,
            type_id=notification_type.id,
            event_payload={"name": "Ada"},
            priority=notification_type.priority,
            send_at=datetime.now(UTC) - timedelta(minutes=1),
            expires_in=timedelta(seconds=1),
        )
        async with self.database.transaction() as session:
            await accept(session, self.tenant, [new], notify=True)
        return str(new.id)

    async def cancel(self, id: str) -> Json:
        return await self.call("POST", f"/notifications/{id}/cancel")

    async def make_due(self, id: str) -> None:
        """Make a notification due as soon as it waits for `send_at`. A digest's item waits without a workflow."""
        update = """
        UPDATE queue_entry SET next_at = {} WHERE notification_id = :id AND state IN ('waiting', 'collecting')
        """
        await eventually(lambda: self.engine.sql(update.format("next_at"), id=id), bool)
        await self.engine.sql("UPDATE notification SET send_at = now() WHERE id = :id", id=id)
        await self.engine.sql(update.format("now()"), id=id)

    async def notification(self, id: str) -> Json:
        return await self.call("GET", f"/notifications/{id}")

    async def wait_for_status(self, id: str, *statuses: str, within: float = DEFAULT_TIMEOUT) -> Json:
        """Wait until a notification has one of the statuses, and return it."""
        return await eventually(
            lambda: self.notification(id), lambda notification: notification["status"] in statuses, within
        )

    async def wait_for_end(self, id: str, *statuses: str, within: float = DEFAULT_TIMEOUT) -> Json:
        """Wait until a notification has finished all steps and has one of the statuses, and return it."""
        return await eventually(
            lambda: self.notification(id),
            lambda notification: notification["finished_at"] and notification["status"] in statuses,
            within,
        )

    async def wait_until_finished(self, id: str, within: float = DEFAULT_TIMEOUT) -> Json:
        return await eventually(
            lambda: self.notification(id), lambda notification: notification["finished_at"] is not None, within
        )

    async def trigger_tick(self, notification_type: str = "news") -> str:
        """Trigger a tick of a type, and return the id of its workflow."""
        schedule = self.engine.temporal.get_schedule_handle(tick_schedule(self.tenant, notification_type))
        await eventually(lambda: exists_in_temporal(schedule.describe), bool)
        await schedule.trigger()
        description = await eventually(schedule.describe, lambda found: found.info.num_actions == 1)
        return str(description.info.recent_actions[0].action.workflow_id)  # type: ignore[attr-defined]

    async def list_outbox(self, **filters: str) -> list[Json]:
        query = "&".join(f"{name}={value}" for name, value in {"limit": "100", **filters}.items())
        items: list[Json] = (await self.call("GET", f"/outbox?{query}"))["items"]
        return items

    async def call(self, method: str, path: str, body: Any = None) -> Json:
        response = await self.http.request(method, path, json=body)
        assert response.status_code < 300, f"{method} {path}: {response.status_code} {response.text}"
        content: Json = response.json() if response.content else {}
        return content

    async def put(self, path: str, body: Any) -> Response:
        """Return the response with any status."""
        return await self.http.put(path, json=body)


@asynccontextmanager
async def open_api_tenant(engine: Engine) -> AsyncIterator[ApiTenant]:
    """Create a tenant of a running engine, and call its API over HTTP."""
    database = engine.container.database
    tenant, key = await create_tenant(database)
    # The API has no TLS here, and loading the certificates of all authorities takes longer than most requests.
    async with AsyncClient(
        base_url=f"{engine.api_url}/api/v1",
        headers=bearer(key),
        trust_env=False,
        timeout=DEFAULT_TIMEOUT,
        verify=False,
    ) as http:
        yield ApiTenant(
            tenant=tenant.id, tenant_key=tenant.key, key=key, http=http, database=database, running_engine=engine
        )


@asynccontextmanager
async def open_in_process_tenant(
    container: Container, *scopes: str, settings: Settings | None = None
) -> AsyncIterator[ApiTenant]:
    """Create a tenant of an API in this process, without an engine: accepted notifications stay PENDING."""
    tenant, key = await create_tenant(container.database, *scopes)
    async with in_process_client(app_of(container, settings), key) as http:
        yield ApiTenant(tenant=tenant.id, tenant_key=tenant.key, key=key, http=http, database=container.database)


async def create_tenant(database: Database, *scopes: str) -> tuple[Tenant, str]:
    """Return a new tenant and its key with these scopes, or with all but `operate`."""
    async with database.transaction() as session:
        tenant = await ensure_tenant(session, f"shop-{uuid4()}", "Shop")
        _, key = await upsert_key(session, tenant.id, "test", scopes or SCOPES)
    return tenant, key


def in_process_client(app: FastAPI, key: str | None) -> AsyncClient:
    headers = {} if key is None else bearer(key)
    base = "http://tocsin.test/api/v1"
    return AsyncClient(transport=ASGITransport(app), base_url=base, headers=headers, trust_env=False)


def _idempotency(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
