"""The suppression list: what is added stays in force until it is lifted or runs out, and evidence adds by itself."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest

from domain.channels import Channel
from domain.suppressions import SuppressionReason
from storage import erasures, receipts, recipients, suppressions
from storage.database import Database
from storage.suppressions import NewSuppression, SuppressionEntry, SuppressionFilter
from tests.storage.locks import until_blocked
from tests.storage.sends import CONTACT, DatabaseSend, DatabaseTenant, open_database_tenant
from tests.storage.test_receipts import AT, apply_waiting, receipt, store

pytestmark = pytest.mark.postgres
R = SuppressionReason
SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))


@pytest.fixture
async def sent(database_tenant: DatabaseTenant) -> DatabaseSend:
    """A call is under way."""
    sent = await database_tenant.send()
    await sent.claim()
    return sent


def key_of(database_tenant: DatabaseTenant, contact: str, address: str) -> str:
    return database_tenant.database.encryption.address_hash(database_tenant.tenant, contact, address)


def new(database_tenant: DatabaseTenant, address: str = CONTACT["email"], **more: Any) -> NewSuppression:
    fields: dict[str, Any] = {"reason": R.BOUNCED, "source": "sandbox", **more}
    key = key_of(database_tenant, "email", address)
    return NewSuppression(channel=Channel.EMAIL, address_hash=key, address={"email": address}, **fields)


async def add(database_tenant: DatabaseTenant, one: NewSuppression) -> tuple[SuppressionEntry, bool]:
    async with database_tenant.database.transaction() as session:
        return await suppressions.add(session, database_tenant.tenant, one)


async def listed(
    database_tenant: DatabaseTenant, *, limit: int = 100, before: Any = None, **wanted: Any
) -> list[SuppressionEntry]:
    async with database_tenant.database.transaction() as session:
        return await suppressions.list_page(
            session, database_tenant.tenant, SuppressionFilter(**wanted), before=before, limit=limit
        )


async def lift(database_tenant: DatabaseTenant, one: SuppressionEntry) -> bool:
    async with database_tenant.database.transaction() as session:
        return await suppressions.lift(session, database_tenant.tenant, one.id)


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


async def test_an_added_suppression_is_in_force(database_tenant: DatabaseTenant) -> None:
    one, changed = await add(database_tenant, new(database_tenant, expires_at=SOON))
    assert changed
    assert (one.channel, one.address, one.reason, one.source) == ("email", CONTACT["email"], "bounced", "sandbox")
    assert (one.expires_at, one.lifted_at) == (SOON, None)
    assert await listed(database_tenant) == [one]


async def test_the_same_again_changes_nothing(database_tenant: DatabaseTenant) -> None:
    one, _ = await add(database_tenant, new(database_tenant))
    assert await add(database_tenant, new(database_tenant, source="another")) == (one, False)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ({"expires_at": None}, {"expires_at": LATER}),
        ({"expires_at": LATER}, {"expires_at": SOON}),
        ({"expires_at": LATER, "reason": R.BOUNCED}, {"expires_at": SOON, "reason": R.MANUAL}),
        ({"reason": R.OPTED_OUT}, {"reason": R.BOUNCED}),
        ({"reason": R.COMPLAINED}, {"reason": R.OPTED_OUT}),
        ({"reason": R.MANUAL}, {"reason": R.COMPLAINED}),
    ],
)
async def test_the_one_that_lasts_longer_stays_and_of_equals_the_graver(
    database_tenant: DatabaseTenant, stronger: dict[str, Any], weaker: dict[str, Any]
) -> None:
    for number, order in enumerate(permutations([new(database_tenant, **stronger), new(database_tenant, **weaker)])):
        address = f"{number}@example.com"
        some = [new(database_tenant, address, reason=one.reason, expires_at=one.expires_at) for one in order]
        first, _ = await add(database_tenant, some[0])
        last, changed = await add(database_tenant, some[1])
        assert changed is (number == 1)
        assert (last.id, last.created_at) == (first.id, first.created_at)
        wanted = new(database_tenant, **stronger)
        assert (last.reason, last.expires_at) == (wanted.reason, wanted.expires_at)


async def test_an_expired_or_lifted_suppression_is_replaced_and_kept(database_tenant: DatabaseTenant) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    over, _ = await add(database_tenant, new(database_tenant, reason=R.MANUAL, expires_at=past))
    assert (await listed(database_tenant), await listed(database_tenant, ended=True)) == ([], [over])
    assert not await lift(database_tenant, over)
    lifted, changed = await add(database_tenant, new(database_tenant))
    assert changed
    assert await lift(database_tenant, lifted)
    assert not await lift(database_tenant, lifted)
    again, _ = await add(database_tenant, new(database_tenant))
    assert await listed(database_tenant) == [again]
    assert [one.id for one in await listed(database_tenant, ended=True)] == [lifted.id, over.id]
    assert len({over.id, lifted.id, again.id}) == 3


async def test_the_list_is_newest_first_and_filtered(database_tenant: DatabaseTenant) -> None:
    phone = replace(
        new(database_tenant, reason=R.OPTED_OUT),
        channel=Channel.SMS,
        address_hash=key_of(database_tenant, "phone", CONTACT["phone"]),
        address={"phone": CONTACT["phone"]},
    )
    first, second, third = [
        (await add(database_tenant, one))[0]
        for one in (new(database_tenant), new(database_tenant, "b@example.com"), phone)
    ]
    assert await listed(database_tenant) == [third, second, first]
    assert await listed(database_tenant, limit=1, before=third.id) == [second]
    assert (
        await listed(database_tenant, channel=Channel.SMS)
        == await listed(database_tenant, reason=R.OPTED_OUT)
        == [third]
    )
    assert await listed(database_tenant, keys=[key_of(database_tenant, "email", "B@example.com")]) == [second]
    assert await listed(database_tenant, keys=[]) == []


async def test_tenants_have_lists_of_their_own(database_tenant: DatabaseTenant, database: Database) -> None:
    other = await open_database_tenant(database)
    one, _ = await add(database_tenant, new(database_tenant))
    assert new(database_tenant).address_hash != new(other).address_hash
    assert (await add(other, new(other)))[1]
    assert not await lift(replace(other, tenant=other.tenant), one)
    async with database.transaction() as session:
        assert await suppressions.find(session, other.tenant, one.id) is None
        assert await suppressions.find(session, database_tenant.tenant, one.id) == one
    assert await listed(database_tenant) == [one]


async def test_two_at_once_are_one(database_tenant: DatabaseTenant) -> None:
    found = await asyncio.gather(*(add(database_tenant, new(database_tenant, source=f"source-{n}")) for n in range(4)))
    assert len({one.id for one, _ in found}) == 1
    assert [changed for _, changed in found].count(True) == 1


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


LEFT, JOINED = "unsubscribed", "resubscribed"


@pytest.mark.parametrize(
    ("receipts", "in_force"),
    [
        ([(LEFT, "group_1"), (JOINED, "group_1")], []),
        ([(JOINED, "group_1"), (LEFT, "group_1")], [("opted_out", "sandbox/group_1")]),
        ([(LEFT, "group_1"), (JOINED, "group_2")], [("opted_out", "sandbox/group_1")]),
        ([(LEFT, None), (JOINED, "group_1")], [("opted_out", "sandbox")]),
        ([(LEFT, "group_1"), (LEFT, None), (JOINED, "group_1")], [("opted_out", "sandbox")]),
        ([(LEFT, None), (LEFT, "group_1"), (JOINED, "group_1")], [("opted_out", "sandbox")]),
        ([(LEFT, "group_1"), (LEFT, "group_2"), (JOINED, "group_1")], [("opted_out", "sandbox")]),
        ([(LEFT, "group_1"), ("complained", None), (JOINED, "group_1")], [("complained", "sandbox")]),
    ],
)
async def test_joining_a_group_lifts_only_suppressions_of_leaving_it(
    sent: DatabaseSend, receipts: list[tuple[str, str | None]], in_force: list[tuple[str, str]]
) -> None:
    for seconds, (kind, group) in enumerate(receipts):
        at = AT + timedelta(seconds=seconds)
        one = receipt(kind, attempt_id=sent.attempt(), reason=group, occurred_at=at)
        await store(sent.database_tenant.database, one)
        await apply_waiting(sent.database_tenant.database)
    assert [(one.reason, one.source) for one in await listed(sent.database_tenant)] == in_force


@pytest.mark.parametrize(
    ("kinds", "in_force"),
    [
        ([LEFT, JOINED], []),
        ([JOINED, LEFT], ["sandbox/group_1"]),
        ([LEFT, JOINED, LEFT], ["sandbox/group_1"]),
        ([JOINED, LEFT, JOINED], []),
    ],
)
@pytest.mark.parametrize("all_known", [True, False])
async def test_the_latest_group_receipt_counts_in_any_order(
    database_tenant: DatabaseTenant, kinds: list[str], in_force: list[str], all_known: bool
) -> None:
    """Each receipt came by a message of its own; `all_known`: all are stored before one is applied."""
    sends = [await database_tenant.send() for _ in kinds]
    for sent in sends:
        await sent.claim()
    reports = [
        receipt(kind, attempt_id=sent.attempt(), reason="group_1", occurred_at=AT + timedelta(seconds=seconds))
        for seconds, (kind, sent) in enumerate(zip(kinds, sends, strict=True))
    ]
    for order in permutations(zip(reports, sends, strict=True)):
        known = [report for report, _ in order]
        await database_tenant.query("DELETE FROM suppression WHERE tenant = :tenant", tenant=database_tenant.tenant)
        await database_tenant.query("DELETE FROM receipt WHERE id = ANY(:ids)", ids=[report.id for report in known])
        for place, (report, sent) in enumerate(order, start=1):
            await store(database_tenant.database, *(known if all_known else known[:place]))
            async with database_tenant.database.transaction() as session:
                await receipts.apply_receipt(session, report, sent.attempt(), sent.ref)
        assert [one.source for one in await listed(database_tenant)] == in_force


@pytest.mark.parametrize("is_left_first", [True, False])
async def test_leaving_a_group_counts_if_it_is_joined_at_the_same_moment(
    sent: DatabaseSend, is_left_first: bool
) -> None:
    for kind in (LEFT, JOINED) if is_left_first else (JOINED, LEFT):
        await store(
            sent.database_tenant.database, receipt(kind, attempt_id=sent.attempt(), reason="group_1", occurred_at=AT)
        )
        await apply_waiting(sent.database_tenant.database)
    assert len(await listed(sent.database_tenant)) == 1


async def test_a_receipt_of_another_tenant_about_the_same_address_revokes_nothing(database: Database) -> None:
    database_tenants = [await open_database_tenant(database) for _ in range(2)]
    for seconds, (kind, database_tenant) in enumerate(zip((LEFT, JOINED), database_tenants, strict=True)):
        sent = await database_tenant.send()
        await sent.claim()
        at = AT + timedelta(seconds=seconds)
        await store(database, receipt(kind, attempt_id=sent.attempt(), reason="group_2", occurred_at=at))
    await apply_waiting(database)
    assert [len(await listed(database_tenant)) for database_tenant in database_tenants] == [1, 0]


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
