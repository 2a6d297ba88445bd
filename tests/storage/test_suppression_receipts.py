"""Definite receipts suppress the address that was called, also one that was changed or erased since."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from domain.channels import Channel
from storage import erasures, receipts, recipients
from tests.storage.fixtures import claimed_send
from tests.storage.locks import until_blocked
from tests.storage.sends import CONTACT, DatabaseSend, DatabaseTenant
from tests.storage.suppression_lists import key_of, listed
from tests.storage.test_receipts import apply_waiting, receipt, store

__all__ = ["claimed_send"]

pytestmark = pytest.mark.postgres


async def apply_new_receipt(
    sent: DatabaseSend, kind: str, reason: str | None = None, channel: Channel = Channel.EMAIL
) -> None:
    """By a receipt, which is applied."""
    await store(sent.database_tenant.database, receipt(kind, attempt_id=sent.attempt(channel=channel), reason=reason))
    await apply_waiting(sent.database_tenant.database)


async def timeline(sent: DatabaseSend) -> list[tuple[Any, ...]]:
    """What it says of suppressed addresses."""
    events = await sent.rows("event")
    of_address = [event for event in events if event["kind"] == "suppressed_address"]
    return [(event["channel"], event["reason"], event["detail"]["vendor_reason"]) for event in of_address]


@pytest.mark.parametrize(
    ("kind", "word", "reason", "said"),
    [
        ("bounced", "invalid_address", "bounced", "invalid_address"),
        ("failed", "bounced_before", "bounced", "bounced_before"),
        ("failed", "unsubscribed", "opted_out", "unsubscribed"),
        ("complained", None, "complained", "complained"),
        ("unsubscribed", None, "opted_out", "unsubscribed"),
    ],
)
async def test_a_definite_receipt_suppresses_the_called_address(
    sent: DatabaseSend, kind: str, word: str | None, reason: str, said: str
) -> None:
    await apply_new_receipt(sent, kind, word)
    [one] = await listed(sent.database_tenant)
    assert (one.channel, one.address, one.reason, one.source) == ("email", CONTACT["email"], reason, "sandbox")
    assert (one.notification_id, one.expires_at) == (sent.id, None)
    assert await timeline(sent) == [("email", reason, said)]
    claim = await (await sent.database_tenant.send()).claim()
    assert claim is not None
    assert claim.suppressed == reason


@pytest.mark.parametrize("kind", ["bounced", "failed", "delivered", "opened"])
@pytest.mark.parametrize("word", [None, "mailbox_unavailable", "bounced"])
async def test_any_other_suppresses_nothing(sent: DatabaseSend, kind: str, word: str | None) -> None:
    await apply_new_receipt(sent, kind, word)
    assert (await listed(sent.database_tenant), await timeline(sent)) == ([], [])


async def test_a_number_is_suppressed_and_the_same_persons_mail_is_not(database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send(Channel.SMS)
    await sent.claim(channel=Channel.SMS)
    await apply_new_receipt(sent, "bounced", "unknown_number", Channel.SMS)
    assert [(one.channel, one.address) for one in await listed(database_tenant)] == [("sms", CONTACT["phone"])]
    claim = await (await database_tenant.send()).claim()
    assert claim is not None
    assert claim.suppressed is None


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.WEBHOOK, Channel.CHAT])
async def test_channels_without_an_address_are_not_listed(database_tenant: DatabaseTenant, channel: Channel) -> None:
    sent = await database_tenant.send(channel)
    await sent.claim(channel=channel)
    await apply_new_receipt(sent, "bounced", "invalid_address", channel)
    assert (await listed(database_tenant), await timeline(sent)) == ([], [])


async def test_two_receipts_of_one_call_add_one_suppression_each(sent: DatabaseSend) -> None:
    for kind, word in (("bounced", "invalid_address"), ("failed", "invalid_address"), ("complained", None)):
        await apply_new_receipt(sent, kind, word)
    await apply_new_receipt(sent, "bounced", "invalid_address")
    assert [reason for _, reason, _ in await timeline(sent)] == ["bounced", "complained"]
    assert [one.reason for one in await listed(sent.database_tenant)] == ["complained"]


async def change_address(database_tenant: DatabaseTenant, address: str) -> None:
    async with database_tenant.database.transaction() as session:
        await recipients.replace_profile(
            session, database_tenant.tenant, database_tenant.recipient_id, {"contact": {"email": address}}
        )


async def test_an_address_that_was_changed_since_the_call_is_not_the_one(sent: DatabaseSend) -> None:
    await change_address(sent.database_tenant, "new@example.com")
    await apply_new_receipt(sent, "bounced", "invalid_address")
    [one] = await listed(sent.database_tenant, keys=[key_of(sent.database_tenant, "email", CONTACT["email"])])
    assert one.address is None
    assert await listed(sent.database_tenant) == [one]
    changed = await (await sent.database_tenant.send()).claim()
    await change_address(sent.database_tenant, CONTACT["email"])
    back = await (await sent.database_tenant.send()).claim()
    assert changed is not None
    assert back is not None
    assert (changed.suppressed, back.suppressed) == (None, "bounced")


async def test_concurrent_profile_changes_hide_no_bounce(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await recipients.merge_profile(
            session, sent.database_tenant.tenant, sent.database_tenant.recipient_id, {"locale": "de"}
        )
    await apply_new_receipt(sent, "bounced", "invalid_address")
    assert [one.address for one in await listed(sent.database_tenant)] == [CONTACT["email"]]


async def test_a_receipt_of_an_erased_recipient_suppresses_nothing(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, sent.database_tenant.tenant, sent.database_tenant.recipient_id)
    await apply_new_receipt(sent, "complained")
    assert await listed(sent.database_tenant) == []


async def test_an_erasure_waits_for_an_address_that_is_being_written_down(sent: DatabaseSend) -> None:
    database, tenant = sent.database_tenant.database, sent.database_tenant.tenant

    async def erase() -> None:
        async with database.transaction() as session:
            await erasures.erase_at_once(session, tenant, sent.database_tenant.recipient_id)

    async with database.transaction() as session:
        await receipts.apply_receipt(
            session, receipt("complained", attempt_id=sent.attempt()), sent.attempt(), sent.ref
        )
        erasing = asyncio.create_task(erase())
        await until_blocked(database, erasing)
    await erasing
    assert [one.address for one in await listed(sent.database_tenant)] == [None]


async def test_many_receipts_about_one_address_never_stand_in_each_others_way(database_tenant: DatabaseTenant) -> None:
    some = [await database_tenant.send() for _ in range(8)]
    for one in some:
        await one.claim()
        for kind in ("complained", "unsubscribed"):
            await store(database_tenant.database, receipt(kind, id=uuid4(), attempt_id=one.attempt()))
    await asyncio.gather(*(apply_waiting(database_tenant.database) for _ in range(3)))
    waiting = await database_tenant.query(
        "SELECT 1 FROM receipt WHERE attempt_id = ANY(:ids) AND applied_at IS NULL", ids=[one.attempt() for one in some]
    )
    assert waiting == []
    assert [one.reason for one in await listed(database_tenant)] == ["complained"]
