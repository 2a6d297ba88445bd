"""Write a status event and the messages to event endpoints in one statement."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.event_webhooks import STATUS_EVENTS
from domain.evidence import AttemptState, Evidence
from domain.ledger import finish_notification, record_receipt
from domain.names import EVENTS_CHANNEL
from domain.records import Ledger, TimelineEvent
from domain.statuses import NotificationStatus
from storage.database import Database
from storage.event_endpoints import enqueue_messages
from storage.ledgers import amend, save
from tests.dispatch.webhook_tenants import WebhookTenant, open_webhook_tenant, record_delivered
from tests.polling import eventually
from tests.storage.sends import CONTACT

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
async def webhook_tenant(database: Database) -> AsyncIterator[WebhookTenant]:
    async with open_webhook_tenant(database) as webhook_tenant:
        yield webhook_tenant


async def kinds(webhook_tenant: WebhookTenant, key: str) -> list[str]:
    return [message["kind"] for message in await webhook_tenant.messages(key)]


async def test_an_event_is_a_message_to_every_endpoint_that_wants_it(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("all", NOWHERE)
    await webhook_tenant.endpoint("ends", NOWHERE, "notification.delivered", "notification.failed")
    await webhook_tenant.endpoint("none", NOWHERE, "notification.expired")
    sent = await webhook_tenant.event()
    await record_delivered(sent)
    assert await kinds(webhook_tenant, "all") == ["notification.sent", "notification.delivered"]
    assert await kinds(webhook_tenant, "ends") == ["notification.delivered"]
    assert await kinds(webhook_tenant, "none") == []


async def test_a_message_has_ids_and_facts_without_address_or_content(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("all", NOWHERE, "notification.failed")
    sent = await webhook_tenant.send(Channel.EMAIL, tags=("spring", "vip"), event_payload={"name": "Canary"})
    async with webhook_tenant.database.transaction() as session:
        await amend(session, sent.ref, lambda ledger: finish_notification(ledger, NOW))
    message = await webhook_tenant.message("all")
    assert json.loads(message["body"]) == {
        "type": "notification.failed",
        "timestamp": "2026-03-01T12:00:00.123Z",
        "data": {
            "notification_id": str(sent.id),
            "notification_type": "order.shipped",
            "recipient_id": "ada",
            "status": "FAILED",
            "channel": "email",
            "reason": "email: not_sent",
            "category": None,
            "reported_by": None,
            "tags": ["spring", "vip"],
        },
    }
    assert (message["notification_id"], message["occurred_at"], message["attempt_count"]) == (sent.id, NOW, 0)
    assert not any(secret in message["body"] for secret in (*CONTACT.values(), "Canary", "Hi"))


async def test_its_id_follows_from_the_event_and_the_endpoint(webhook_tenant: WebhookTenant) -> None:
    row = await webhook_tenant.endpoint("all", NOWHERE)
    await webhook_tenant.event()
    message = await webhook_tenant.message("all")
    derived = hashlib.sha256(f"{message['event_id']}{row.id}".encode()).digest()[:16]
    assert message["id"] == UUID(bytes=derived)


async def test_every_event_kind_can_be_posted(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("all", NOWHERE)
    sent = await webhook_tenant.send()
    events = [
        TimelineEvent(at=NOW, kind=status.lower(), status=status)
        for status in NotificationStatus
        if status is not NotificationStatus.PENDING
    ]
    again = TimelineEvent(at=NOW, kind="redriven", status=NotificationStatus.PENDING)
    silent = TimelineEvent(at=NOW, kind="attempt_refused")
    async with webhook_tenant.database.transaction() as session:
        await amend(session, sent.ref, lambda ledger: replace(ledger, events=(*events, again, silent)))
    assert sorted(await kinds(webhook_tenant, "all")) == sorted(STATUS_EVENTS)


async def test_other_tenants_get_no_message(webhook_tenant: WebhookTenant, database: Database) -> None:
    async with open_webhook_tenant(database) as others:
        await others.endpoint("all", NOWHERE)
        await webhook_tenant.event()
        assert await others.messages("all") == []


async def test_a_rolled_back_event_is_not_posted(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("all", NOWHERE)
    sent = await webhook_tenant.send()
    async with webhook_tenant.database.transaction() as session:
        await amend(session, sent.ref, lambda ledger: finish_notification(ledger, NOW))
        await session.rollback()
    assert await webhook_tenant.messages("all") == []


async def test_a_stale_ledger_adds_no_message(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("all", NOWHERE)
    sent = await webhook_tenant.send()
    await sent.claim()
    stale = await sent.ledger()
    await sent.answer(AttemptState.ACCEPTED)
    async with webhook_tenant.database.transaction() as session:
        assert not await save(session, stale, finish_notification(stale, NOW))
    assert await kinds(webhook_tenant, "all") == ["notification.sent"]


async def test_concurrent_writers_add_one_message_per_status(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("all", NOWHERE)
    sent = await webhook_tenant.event()

    async def report(evidence: Evidence) -> None:
        def change(ledger: Ledger) -> Ledger:
            return record_receipt(ledger, sent.attempt(), evidence, NOW, NOW)

        async with webhook_tenant.database.transaction() as session:
            await amend(session, sent.ref, change)

    await asyncio.gather(*(report(evidence) for evidence in (Evidence.DELIVERED, Evidence.OPENED) for _ in range(4)))
    event_kinds = await kinds(webhook_tenant, "all")
    assert sorted(event_kinds) == sorted(f"notification.{status.lower()}" for status in (await sent.statuses())[1:])
    assert "notification.opened" in event_kinds


async def test_for_a_disabled_endpoint_it_is_kept_and_does_not_wait(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("off", NOWHERE, enabled=False)
    await webhook_tenant.event()
    message = await webhook_tenant.message("off")
    assert (message["next_attempt_at"], message["last_error"]) == (None, "endpoint_disabled")
    assert message["given_up_at"] is not None


async def test_a_deleted_endpoint_gets_no_message(webhook_tenant: WebhookTenant) -> None:
    await webhook_tenant.endpoint("gone", NOWHERE)
    await webhook_tenant.query("UPDATE event_endpoint SET deleted_at = now(), enabled = false WHERE key = 'gone'")
    await webhook_tenant.event()
    assert await webhook_tenant.messages("gone") == []


async def test_posters_are_woken_only_if_there_is_something_to_post(
    webhook_tenant: WebhookTenant, database: Database
) -> None:
    woken: list[str] = []

    async def heard() -> list[str]:
        return woken

    connection = await database.dedicated()
    try:
        await connection.add_listener(EVENTS_CHANNEL, lambda *said: woken.append(said[2]))
        await connection.add_listener("done", lambda *said: woken.append(said[2]))
        await webhook_tenant.event()
        await webhook_tenant.endpoint("off", NOWHERE, enabled=False)
        await webhook_tenant.event()
        await webhook_tenant.query("SELECT pg_notify('done', '')")
        await eventually(heard, lambda seen: "done" in seen)
        assert woken == ["done"]
        await webhook_tenant.endpoint("on", NOWHERE)
        await webhook_tenant.event()
        await eventually(heard, lambda seen: EVENTS_CHANNEL in seen)
    finally:
        await connection.close()


async def test_tenant_level_messages_go_to_enabled_endpoints_only(webhook_tenant: WebhookTenant) -> None:
    on = await webhook_tenant.endpoint("on", NOWHERE, "notification.failed")
    off = await webhook_tenant.endpoint("off", NOWHERE, enabled=False)
    async with webhook_tenant.database.transaction() as session:
        [message_id] = await enqueue_messages(session, [on.id, off.id], "endpoint.test", {"endpoint": "on"})
    message = await webhook_tenant.message("on")
    assert message["id"] == message_id
    assert json.loads(message["body"])["data"] == {"endpoint": "on"}
    assert await webhook_tenant.messages("off") == []
