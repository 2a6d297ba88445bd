"""Test how long event messages, their attempts and deleted endpoints are kept."""

import json
from typing import Any

import pytest

from storage import event_endpoints
from storage.database import Database
from tests.dispatch.webhook_tenants import WebhookTenant
from tests.receivers import EventReceiver

pytestmark = pytest.mark.postgres


async def test_events_due_while_disabled_are_given_up_separately_from_failures(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("off", "http://127.0.0.1:9/")
    await webhook_tenant.event()
    await webhook_tenant.endpoint("off", "http://127.0.0.1:9/", enabled=False)
    await webhook_tenant.posts.prune()
    message = await webhook_tenant.message("off")
    assert (message["next_attempt_at"], message["last_error"]) == (None, "endpoint_disabled")
    assert message["given_up_at"] is not None


async def test_messages_are_kept_for_thirty_days_unless_they_wait(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    old = await webhook_tenant.event()
    await webhook_tenant.post()
    waiting = await webhook_tenant.event()
    young = await webhook_tenant.event()
    await webhook_tenant.query("UPDATE event_message SET occurred_at = now() - interval '31 days'")
    await webhook_tenant.query(
        "UPDATE event_message SET next_attempt_at = NULL, occurred_at = now() - interval '29 days'"
        " WHERE notification_id = :id",
        id=young.id,
    )
    await webhook_tenant.posts.prune()
    kept = {message["notification_id"] for message in await webhook_tenant.messages("shop")}
    assert kept == {waiting.id, young.id}
    assert old.id not in kept


async def test_a_deleted_endpoint_and_its_messages_go_in_the_end(
    webhook_tenant: WebhookTenant, database: Database
) -> None:
    async def rows(table: str) -> int:
        [row] = await webhook_tenant.query(
            f"SELECT count(*) AS n FROM {table} WHERE tenant = :id", id=webhook_tenant.tenant
        )
        return int(row["n"])

    await webhook_tenant.endpoint("gone", "http://127.0.0.1:9/")
    await webhook_tenant.event()
    async with database.transaction() as session:
        await event_endpoints.remove(session, webhook_tenant.tenant, "gone")
    await webhook_tenant.posts.prune()
    assert (await rows("event_message"), await rows("event_endpoint")) == (0, 1)
    await webhook_tenant.query("UPDATE event_endpoint SET deleted_at = now() - interval '2 hours'")
    await webhook_tenant.posts.prune()
    assert await rows("event_endpoint") == 0


async def test_of_very_many_tries_the_last_twenty_are_shown(
    webhook_tenant: WebhookTenant, receiver: EventReceiver
) -> None:
    await webhook_tenant.endpoint("shop", receiver.url)
    await webhook_tenant.event()
    many: list[dict[str, Any]] = [{"at": "x", "status": number, "ms": 1, "error": "x"} for number in range(40)]
    await webhook_tenant.query(
        "UPDATE event_message SET attempts = CAST(:attempts AS jsonb)", attempts=json.dumps(many)
    )
    await webhook_tenant.post()
    calls = (await webhook_tenant.message("shop"))["attempts"]
    assert [call["status"] for call in calls] == [*range(21, 40), 204]
