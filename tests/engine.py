"""Run the whole product in the test's process: API over HTTP, dispatcher, receipts, sandbox, workers; real servers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from bootstrap import Container
from config import Settings
from dispatch.temporal_connection import connect
from dispatch.temporal_preparation import prepare_temporal
from domain.names import tick_schedule, workflow_id
from embedded.ports import free_port
from embedded.temporary_servers import temporary_temporal
from models.columns import new_id
from storage.acceptance import NewNotification, accept
from storage.api_keys import ensure_tenant, upsert_key
from testing.installation import engine
from tests.polling import DEFAULT_TIMEOUT, eventually
from tests.storage.databases import create_database

SCOPES = ("send", "read", "manage")
Handle = WorkflowHandle[Any, Any]


def later(seconds: float) -> str:
    """Return a time for `send_at`. Negative seconds give a time in the past."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@dataclass(frozen=True, kw_only=True)
class Engine:
    container: Container
    temporal_address: str

    @property
    def api_url(self) -> str:
        return self.container.settings.base_url

    @property
    def temporal(self) -> Client:
        return self.container.temporal

    def workflow(self, id: str, generation: int = 1) -> Handle:
        return self.temporal.get_workflow_handle(workflow_id(UUID(id), generation))

    async def wait_for_start(self, id: str) -> Handle:
        """Wait until a notification has a workflow, and return its handle."""
        return await self.wait_for_workflow(self.workflow(id).id)

    async def wait_for_workflow(self, workflow_id: str) -> Handle:
        """Wait until Temporal knows the workflow, and return its handle."""
        handle: Handle = self.temporal.get_workflow_handle(workflow_id)
        await eventually(lambda: exists_in_temporal(handle.describe), bool)
        return handle

    async def history(self, id: str) -> WorkflowHistory:
        """Wait until a notification's workflow has ended, with any result, and return its history."""
        return await self.workflow_history(self.workflow(id).id)

    async def workflow_history(self, workflow_id: str) -> WorkflowHistory:
        """Wait until a workflow has ended, with any result, and return its history."""
        handle = await self.wait_for_workflow(workflow_id)
        await eventually(handle.describe, lambda description: description.close_time is not None)
        return await handle.fetch_history()

    async def sql(self, statement: str, **values: Any) -> int:
        """Run a statement that writes, and return the number of written rows."""
        async with self.container.database.transaction() as session:
            result = await session.execute(text(f"WITH written AS ({statement} RETURNING 1) TABLE written"), values)
            return len(result.all())


async def exists_in_temporal(describe: Callable[[], Awaitable[object]]) -> bool:
    """Return whether `describe` finds its object in Temporal."""
    try:
        await describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


@asynccontextmanager
async def running_engine(database_url: str, home: Path, **options: Any) -> AsyncIterator[Engine]:
    """Run servers and an engine. `options` are settings, or the `dynamic_config` of Temporal."""
    async with (
        engine_servers(database_url, home, **options) as (settings, client),
        engine(settings, client) as container,
    ):
        yield Engine(container=container, temporal_address=settings.temporal_address)


@asynccontextmanager
async def engine_servers(
    database_url: str, home: Path, *, dynamic_config: Mapping[str, str] | None = None, **overrides: Any
) -> AsyncIterator[tuple[Settings, Client]]:
    """Start Postgres and Temporal for an engine, without a process that uses them."""
    async with temporary_temporal(home, dynamic_config=dynamic_config) as temporal:
        await prepare_temporal(temporal.address, "default")
        settings = Settings(
            env="dev",
            # A database of its own: tests write to the shared one directly. Their notifications must stay PENDING
            # there and must not start hundreds of workflows here.
            database_url=await create_database(database_url, f"engine_{uuid4().hex}"),
            temporal_address=temporal.address,
            api_port=free_port(),
            drain_timeout=1,
            **overrides,
            _env_file=None,
        )
        yield settings, await connect(temporal.address, "default", lazy=False)


@dataclass(frozen=True, kw_only=True)
class ApiTenant:
    """Hold one tenant and a client with its key, and offer the operations that tests need."""

    tenant: UUID
    tenant_key: str
    key: str
    http: httpx2.AsyncClient
    engine: Engine

    async def add_template(self, name: str, channel: str, body: str = "Hello {{ name }}", **fields: Any) -> None:
        template = {"name": name, "channel": channel, "language": "en", "body_template": body, "publish": True}
        subject = {"subject_template": "Hi {{ name }}"} if channel == "email" else {}
        await self.call("POST", "/templates", {**template, **subject, "variables_schema": {}, **fields})

    async def put_type(self, key: str, *steps: list[str], **fields: Any) -> None:
        """Put a type with one route step per list of channels, and a template `key` for each channel."""
        channels = dict.fromkeys(channel for step in steps for channel in step)
        for channel in channels:
            await self.add_template(key, channel)
        route = [{"channels": step} for step in steps]
        await self.call(
            "PUT", f"/notification-types/{key}", {"route": route, "templates": dict.fromkeys(channels, key), **fields}
        )

    async def put_recipient(self, recipient_id: str, **profile: Any) -> None:
        await self.call("PUT", f"/recipients/{recipient_id}", profile)

    async def put_device(self, recipient_id: str, device: str, token: str, kind: str = "fcm") -> None:
        await self.call("PUT", f"/recipients/{recipient_id}/devices/{device}", {"kind": kind, "token": token})

    async def send(
        self, notification_type: str, recipient_id: str = "ada", *, key: str | None = None, **fields: Any
    ) -> str:
        """Send to a stored recipient, or to the inline `recipient` in `fields`, and return the notification's id."""
        headers = {"Idempotency-Key": key} if key else {}
        recipient = {} if "recipient" in fields else {"recipient_id": recipient_id}
        body = {"notification_type": notification_type, **recipient, "payload": {"name": "Ada"}, **fields}
        response = await self.http.post("/notifications/send", json=body, headers=headers)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

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
        async with self.engine.container.database.transaction() as session:
            await accept(session, self.tenant, [new])
        return str(new.id)

    async def cancel(self, id: str) -> dict[str, Any]:
        return await self.call("POST", f"/notifications/{id}/cancel")

    async def make_due(self, id: str) -> None:
        """Make a notification due as soon as it waits for `send_at`. A digest's item waits without a workflow."""
        update = """
        UPDATE queue_entry SET next_at = {} WHERE notification_id = :id AND state IN ('waiting', 'collecting')
        """
        await eventually(lambda: self.engine.sql(update.format("next_at"), id=id), bool)
        await self.engine.sql("UPDATE notification SET send_at = now() WHERE id = :id", id=id)
        await self.engine.sql(update.format("now()"), id=id)

    async def notification(self, id: str) -> dict[str, Any]:
        return await self.call("GET", f"/notifications/{id}")

    async def wait_for_status(self, id: str, *statuses: str, within: float = DEFAULT_TIMEOUT) -> dict[str, Any]:
        """Wait until a notification has one of the statuses, and return it."""
        return await eventually(
            lambda: self.notification(id), lambda notification: notification["status"] in statuses, within
        )

    async def wait_for_end(self, id: str, *statuses: str, within: float = DEFAULT_TIMEOUT) -> dict[str, Any]:
        """Wait until a notification has finished all steps and has one of the statuses, and return it."""
        return await eventually(
            lambda: self.notification(id),
            lambda notification: notification["finished_at"] and notification["status"] in statuses,
            within,
        )

    async def wait_until_finished(self, id: str, within: float = DEFAULT_TIMEOUT) -> dict[str, Any]:
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

    async def list_outbox(self, **filters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in {"limit": "100", **filters}.items())
        items: list[dict[str, Any]] = (await self.call("GET", f"/outbox?{query}"))["items"]
        return items

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = await self.http.request(method, path, json=body)
        assert response.status_code < 300, f"{method} {path}: {response.status_code} {response.text}"
        content: dict[str, Any] = response.json() if response.content else {}
        return content


@asynccontextmanager
async def open_api_tenant(engine: Engine) -> AsyncIterator[ApiTenant]:
    async with engine.container.database.transaction() as session:
        tenant = await ensure_tenant(session, uuid4().hex, "Shop")
        _, key = await upsert_key(session, tenant.id, "test", SCOPES)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{engine.api_url}/api/v1"
    # The API has no TLS here, and loading the certificates of all authorities takes longer than most requests.
    async with httpx2.AsyncClient(
        base_url=base, headers=headers, trust_env=False, timeout=DEFAULT_TIMEOUT, verify=False
    ) as http:
        yield ApiTenant(tenant=tenant.id, tenant_key=tenant.key, key=key, http=http, engine=engine)
