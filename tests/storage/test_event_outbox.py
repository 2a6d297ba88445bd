"""A status event and what endpoints are told of it are one statement: there is one exactly if there is the other."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.event_webhooks import KINDS
from domain.evidence import AttemptState, Evidence
from domain.ledger import finish, record_receipt
from domain.names import EVENTS_CHANNEL
from domain.records import Event, Ledger
from domain.statuses import NotificationStatus
from storage.database import Database
from storage.event_outbox import tell
from storage.ledgers import amend, save
from tests.dispatch.hooks import Hooks, delivered, open_hooks
from tests.polling import eventually
from tests.storage.sends import CONTACT

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
async def hooks(database: Database) -> AsyncIterator[Hooks]:
    async with open_hooks(database) as hooks:
        yield hooks


async def kinds(hooks: Hooks, key: str) -> list[str]:
    return [message["kind"] for message in await hooks.messages(key)]


async def test_an_event_is_a_message_to_every_endpoint_that_wants_it(hooks: Hooks) -> None:
    await hooks.endpoint("all", NOWHERE)
    await hooks.endpoint("ends", NOWHERE, "notification.delivered", "notification.failed")
    await hooks.endpoint("none", NOWHERE, "notification.expired")
    sent = await hooks.event()
    await delivered(sent)
    assert await kinds(hooks, "all") == ["notification.sent", "notification.delivered"]
    assert await kinds(hooks, "ends") == ["notification.delivered"]
    assert await kinds(hooks, "none") == []


async def test_a_message_says_ids_and_facts_and_no_address_or_content(hooks: Hooks) -> None:
    await hooks.endpoint("all", NOWHERE, "notification.failed")
    sent = await hooks.desk.send(Channel.EMAIL, tags=("spring", "vip"), event_payload={"name": "Canary"})
    async with hooks.desk.database.transaction() as session:
        await amend(session, sent.key, lambda ledger: finish(ledger, NOW))
    message = await hooks.message("all")
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
    assert (message["notification_id"], message["occurred_at"], message["tries"]) == (sent.id, NOW, 0)
    assert not any(secret in message["body"] for secret in (*CONTACT.values(), "Canary", "Hi"))


async def test_its_id_follows_from_the_event_and_the_endpoint(hooks: Hooks) -> None:
    row = await hooks.endpoint("all", NOWHERE)
    await hooks.event()
    message = await hooks.message("all")
    derived = hashlib.sha256(f"{message['event_id']}{row.id}".encode()).digest()[:16]
    assert message["id"] == UUID(bytes=derived)


async def test_every_kind_can_be_told(hooks: Hooks) -> None:
    await hooks.endpoint("all", NOWHERE)
    sent = await hooks.desk.send()
    events = [
        Event(at=NOW, kind=status.lower(), status=status)
        for status in NotificationStatus
        if status is not NotificationStatus.PENDING
    ]
    again = Event(at=NOW, kind="redriven", status=NotificationStatus.PENDING)
    silent = Event(at=NOW, kind="attempt_refused")
    async with hooks.desk.database.transaction() as session:
        await amend(session, sent.key, lambda ledger: replace(ledger, events=(*events, again, silent)))
    assert sorted(await kinds(hooks, "all")) == sorted(KINDS)


async def test_other_tenants_are_told_nothing(hooks: Hooks, database: Database) -> None:
    async with open_hooks(database) as others:
        await others.endpoint("all", NOWHERE)
        await hooks.event()
        assert await others.messages("all") == []


async def test_what_is_rolled_back_is_not_told(hooks: Hooks) -> None:
    await hooks.endpoint("all", NOWHERE)
    sent = await hooks.desk.send()
    async with hooks.desk.database.transaction() as session:
        await amend(session, sent.key, lambda ledger: finish(ledger, NOW))
        await session.rollback()
    assert await hooks.messages("all") == []


async def test_a_stale_ledger_tells_nothing(hooks: Hooks) -> None:
    await hooks.endpoint("all", NOWHERE)
    sent = await hooks.desk.send()
    await sent.claim()
    stale = await sent.ledger()
    await sent.answer(AttemptState.ACCEPTED)
    async with hooks.desk.database.transaction() as session:
        assert not await save(session, stale, finish(stale, NOW))
    assert await kinds(hooks, "all") == ["notification.sent"]


async def test_of_a_crowd_of_writers_each_status_is_told_once(hooks: Hooks) -> None:
    await hooks.endpoint("all", NOWHERE)
    sent = await hooks.event()

    async def report(evidence: Evidence) -> None:
        def change(ledger: Ledger) -> Ledger:
            return record_receipt(ledger, sent.attempt(), evidence, NOW, NOW)

        async with hooks.desk.database.transaction() as session:
            await amend(session, sent.key, change)

    await asyncio.gather(*(report(evidence) for evidence in (Evidence.DELIVERED, Evidence.OPENED) for _ in range(4)))
    told = await kinds(hooks, "all")
    assert sorted(told) == sorted(f"notification.{status.lower()}" for status in (await sent.statuses())[1:])
    assert "notification.opened" in told


async def test_for_a_disabled_endpoint_it_is_kept_and_does_not_wait(hooks: Hooks) -> None:
    await hooks.endpoint("off", NOWHERE, enabled=False)
    await hooks.event()
    message = await hooks.message("off")
    assert (message["next_try_at"], message["last_error"]) == (None, "endpoint_disabled")
    assert message["given_up_at"] is not None


async def test_a_deleted_endpoint_is_told_nothing(hooks: Hooks) -> None:
    await hooks.endpoint("gone", NOWHERE)
    await hooks.desk.query("UPDATE event_endpoint SET deleted_at = now(), enabled = false WHERE key = 'gone'")
    await hooks.event()
    assert await hooks.messages("gone") == []


async def test_posters_are_woken_only_if_there_is_something_to_post(hooks: Hooks, database: Database) -> None:
    woken: list[str] = []

    async def heard() -> list[str]:
        return woken

    connection = await database.dedicated()
    try:
        await connection.add_listener(EVENTS_CHANNEL, lambda *said: woken.append(said[2]))
        await connection.add_listener("done", lambda *said: woken.append(said[2]))
        await hooks.event()
        await hooks.endpoint("off", NOWHERE, enabled=False)
        await hooks.event()
        await hooks.desk.query("SELECT pg_notify('done', '')")
        await eventually(heard, lambda seen: "done" in seen)
        assert woken == ["done"]
        await hooks.endpoint("on", NOWHERE)
        await hooks.event()
        await eventually(heard, lambda seen: EVENTS_CHANNEL in seen)
    finally:
        await connection.close()


async def test_what_is_told_beside_events_goes_to_enabled_endpoints_only(hooks: Hooks) -> None:
    on = await hooks.endpoint("on", NOWHERE, "notification.failed")
    off = await hooks.endpoint("off", NOWHERE, enabled=False)
    async with hooks.desk.database.transaction() as session:
        [told] = await tell(session, [on.id, off.id], "endpoint.test", {"endpoint": "on"})
    message = await hooks.message("on")
    assert message["id"] == told
    assert json.loads(message["body"])["data"] == {"endpoint": "on"}
    assert await hooks.messages("off") == []
