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
from storage.suppressions import Filter, NewSuppression, Suppression
from tests.storage.locks import until_blocked
from tests.storage.sends import CONTACT, Desk, Sent, open_desk
from tests.storage.test_receipts import AT, apply_waiting, receipt, store

pytestmark = pytest.mark.postgres
R = SuppressionReason
SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))


@pytest.fixture
async def sent(desk: Desk) -> Sent:
    """A call is under way."""
    sent = await desk.send()
    await sent.claim()
    return sent


def key_of(desk: Desk, contact: str, address: str) -> str:
    return desk.database.encryption.address_key(desk.tenant, contact, address)


def new(desk: Desk, address: str = CONTACT["email"], **more: Any) -> NewSuppression:
    fields: dict[str, Any] = {"reason": R.BOUNCED, "source": "sandbox", **more}
    key = key_of(desk, "email", address)
    return NewSuppression(channel=Channel.EMAIL, address_key=key, address={"email": address}, **fields)


async def add(desk: Desk, one: NewSuppression) -> tuple[Suppression, bool]:
    async with desk.database.transaction() as session:
        return await suppressions.add(session, desk.tenant, one)


async def listed(desk: Desk, *, limit: int = 100, before: Any = None, **wanted: Any) -> list[Suppression]:
    async with desk.database.transaction() as session:
        return await suppressions.page(session, desk.tenant, Filter(**wanted), before=before, limit=limit)


async def lift(desk: Desk, one: Suppression) -> bool:
    async with desk.database.transaction() as session:
        return await suppressions.lift(session, desk.tenant, one.id)


async def told(sent: Sent, kind: str, reason: str | None = None, channel: Channel = Channel.EMAIL) -> None:
    """By a receipt, which is applied."""
    await store(sent.desk.database, receipt(kind, attempt_id=sent.attempt(channel=channel), reason=reason))
    await apply_waiting(sent.desk.database)


async def timeline(sent: Sent) -> list[tuple[Any, ...]]:
    """What it says of suppressed addresses."""
    events = await sent.rows("event")
    of_address = [event for event in events if event["kind"] == "suppressed_address"]
    return [(event["channel"], event["reason"], event["detail"]["said"]) for event in of_address]


async def test_what_is_added_is_in_force(desk: Desk) -> None:
    one, changed = await add(desk, new(desk, expires_at=SOON))
    assert changed
    assert (one.channel, one.address, one.reason, one.source) == ("email", CONTACT["email"], "bounced", "sandbox")
    assert (one.expires_at, one.lifted_at) == (SOON, None)
    assert await listed(desk) == [one]


async def test_the_same_again_changes_nothing(desk: Desk) -> None:
    one, _ = await add(desk, new(desk))
    assert await add(desk, new(desk, source="another")) == (one, False)


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
    desk: Desk, stronger: dict[str, Any], weaker: dict[str, Any]
) -> None:
    for number, order in enumerate(permutations([new(desk, **stronger), new(desk, **weaker)])):
        address = f"{number}@example.com"
        some = [new(desk, address, reason=one.reason, expires_at=one.expires_at) for one in order]
        first, _ = await add(desk, some[0])
        last, changed = await add(desk, some[1])
        assert changed is (number == 1)
        assert (last.id, last.created_at) == (first.id, first.created_at)
        wanted = new(desk, **stronger)
        assert (last.reason, last.expires_at) == (wanted.reason, wanted.expires_at)


async def test_what_has_run_out_or_was_lifted_makes_room_and_is_kept(desk: Desk) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    over, _ = await add(desk, new(desk, reason=R.MANUAL, expires_at=past))
    assert (await listed(desk), await listed(desk, ended=True)) == ([], [over])
    assert not await lift(desk, over)
    lifted, changed = await add(desk, new(desk))
    assert changed
    assert await lift(desk, lifted)
    assert not await lift(desk, lifted)
    again, _ = await add(desk, new(desk))
    assert await listed(desk) == [again]
    assert [one.id for one in await listed(desk, ended=True)] == [lifted.id, over.id]
    assert len({over.id, lifted.id, again.id}) == 3


async def test_the_list_is_newest_first_and_filtered(desk: Desk) -> None:
    phone = replace(
        new(desk, reason=R.OPTED_OUT),
        channel=Channel.SMS,
        address_key=key_of(desk, "phone", CONTACT["phone"]),
        address={"phone": CONTACT["phone"]},
    )
    first, second, third = [(await add(desk, one))[0] for one in (new(desk), new(desk, "b@example.com"), phone)]
    assert await listed(desk) == [third, second, first]
    assert await listed(desk, limit=1, before=third.id) == [second]
    assert await listed(desk, channel=Channel.SMS) == await listed(desk, reason=R.OPTED_OUT) == [third]
    assert await listed(desk, keys=[key_of(desk, "email", "B@example.com")]) == [second]
    assert await listed(desk, keys=[]) == []


async def test_tenants_have_lists_of_their_own(desk: Desk, database: Database) -> None:
    other = await open_desk(database)
    one, _ = await add(desk, new(desk))
    assert new(desk).address_key != new(other).address_key
    assert (await add(other, new(other)))[1]
    assert not await lift(replace(other, tenant=other.tenant), one)
    async with database.transaction() as session:
        assert await suppressions.find(session, other.tenant, one.id) is None
        assert await suppressions.find(session, desk.tenant, one.id) == one
    assert await listed(desk) == [one]


async def test_two_at_once_are_one(desk: Desk) -> None:
    found = await asyncio.gather(*(add(desk, new(desk, source=f"source-{n}")) for n in range(4)))
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
async def test_a_receipt_that_is_definite_suppresses_the_address_that_the_call_went_to(
    sent: Sent, kind: str, word: str | None, reason: str, said: str
) -> None:
    await told(sent, kind, word)
    [one] = await listed(sent.desk)
    assert (one.channel, one.address, one.reason, one.source) == ("email", CONTACT["email"], reason, "sandbox")
    assert (one.notification_id, one.expires_at) == (sent.id, None)
    assert await timeline(sent) == [("email", reason, said)]
    claim = await (await sent.desk.send()).claim()
    assert claim is not None
    assert claim.suppressed == reason


@pytest.mark.parametrize("kind", ["bounced", "failed", "delivered", "opened"])
@pytest.mark.parametrize("word", [None, "mailbox_unavailable", "bounced"])
async def test_any_other_suppresses_nothing(sent: Sent, kind: str, word: str | None) -> None:
    await told(sent, kind, word)
    assert (await listed(sent.desk), await timeline(sent)) == ([], [])


async def test_a_number_is_suppressed_and_the_same_persons_mail_is_not(desk: Desk) -> None:
    sent = await desk.send(Channel.SMS)
    await sent.claim(channel=Channel.SMS)
    await told(sent, "bounced", "unknown_number", Channel.SMS)
    assert [(one.channel, one.address) for one in await listed(desk)] == [("sms", CONTACT["phone"])]
    claim = await (await desk.send()).claim()
    assert claim is not None
    assert claim.suppressed is None


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.WEBHOOK])
async def test_channels_without_an_address_of_a_person_are_not_listed(desk: Desk, channel: Channel) -> None:
    sent = await desk.send(channel)
    await sent.claim(channel=channel)
    await told(sent, "bounced", "invalid_address", channel)
    assert (await listed(desk), await timeline(sent)) == ([], [])


async def test_two_receipts_of_one_call_say_it_once_each_and_only_if_it_changes_something(sent: Sent) -> None:
    for kind, word in (("bounced", "invalid_address"), ("failed", "invalid_address"), ("complained", None)):
        await told(sent, kind, word)
    await told(sent, "bounced", "invalid_address")
    assert [reason for _, reason, _ in await timeline(sent)] == ["bounced", "complained"]
    assert [one.reason for one in await listed(sent.desk)] == ["complained"]


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
async def test_joining_a_group_again_lifts_what_leaving_it_made_and_nothing_else(
    sent: Sent, receipts: list[tuple[str, str | None]], in_force: list[tuple[str, str]]
) -> None:
    for seconds, (kind, group) in enumerate(receipts):
        at = AT + timedelta(seconds=seconds)
        one = receipt(kind, attempt_id=sent.attempt(), reason=group, occurred_at=at)
        await store(sent.desk.database, one)
        await apply_waiting(sent.desk.database)
    assert [(one.reason, one.source) for one in await listed(sent.desk)] == in_force


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
async def test_of_a_group_the_latest_receipt_counts_in_any_order_and_by_any_message(
    desk: Desk, kinds: list[str], in_force: list[str], all_known: bool
) -> None:
    """Each receipt came by a message of its own; `all_known`: all are stored before one is applied."""
    sends = [await desk.send() for _ in kinds]
    for sent in sends:
        await sent.claim()
    reports = [
        receipt(kind, attempt_id=sent.attempt(), reason="group_1", occurred_at=AT + timedelta(seconds=seconds))
        for seconds, (kind, sent) in enumerate(zip(kinds, sends, strict=True))
    ]
    for order in permutations(zip(reports, sends, strict=True)):
        known = [report for report, _ in order]
        await desk.query("DELETE FROM suppression WHERE tenant = :tenant", tenant=desk.tenant)
        await desk.query("DELETE FROM receipt WHERE id = ANY(:ids)", ids=[report.id for report in known])
        for place, (report, sent) in enumerate(order, start=1):
            await store(desk.database, *(known if all_known else known[:place]))
            async with desk.database.transaction() as session:
                await receipts.apply(session, report, sent.attempt(), sent.key)
        assert [one.source for one in await listed(desk)] == in_force


@pytest.mark.parametrize("is_left_first", [True, False])
async def test_leaving_a_group_counts_if_it_is_joined_at_the_same_moment(sent: Sent, is_left_first: bool) -> None:
    for kind in (LEFT, JOINED) if is_left_first else (JOINED, LEFT):
        await store(sent.desk.database, receipt(kind, attempt_id=sent.attempt(), reason="group_1", occurred_at=AT))
        await apply_waiting(sent.desk.database)
    assert len(await listed(sent.desk)) == 1


async def test_a_receipt_of_another_tenant_about_the_same_address_revokes_nothing(database: Database) -> None:
    desks = [await open_desk(database) for _ in range(2)]
    for seconds, (kind, desk) in enumerate(zip((LEFT, JOINED), desks, strict=True)):
        sent = await desk.send()
        await sent.claim()
        at = AT + timedelta(seconds=seconds)
        await store(database, receipt(kind, attempt_id=sent.attempt(), reason="group_2", occurred_at=at))
    await apply_waiting(database)
    assert [len(await listed(desk)) for desk in desks] == [1, 0]


async def change_address(desk: Desk, address: str) -> None:
    async with desk.database.transaction() as session:
        await recipients.replace(session, desk.tenant, desk.recipient_id, {"contact": {"email": address}})


async def test_an_address_that_was_changed_since_the_call_is_not_the_one(sent: Sent) -> None:
    await change_address(sent.desk, "new@example.com")
    await told(sent, "bounced", "invalid_address")
    [one] = await listed(sent.desk, keys=[key_of(sent.desk, "email", CONTACT["email"])])
    assert one.address is None
    assert await listed(sent.desk) == [one]
    changed = await (await sent.desk.send()).claim()
    await change_address(sent.desk, CONTACT["email"])
    back = await (await sent.desk.send()).claim()
    assert changed is not None
    assert back is not None
    assert (changed.suppressed, back.suppressed) == (None, "bounced")


async def test_profiles_that_change_elsewhere_hide_no_bounce(sent: Sent) -> None:
    async with sent.desk.database.transaction() as session:
        await recipients.merge(session, sent.desk.tenant, sent.desk.recipient_id, {"locale": "de"})
    await told(sent, "bounced", "invalid_address")
    assert [one.address for one in await listed(sent.desk)] == [CONTACT["email"]]


async def test_a_receipt_of_somebody_who_was_erased_suppresses_nothing(sent: Sent) -> None:
    async with sent.desk.database.transaction() as session:
        await erasures.erase(session, sent.desk.tenant, sent.desk.recipient_id)
    await told(sent, "complained")
    assert await listed(sent.desk) == []


async def test_an_erasure_waits_for_an_address_that_is_being_written_down(sent: Sent) -> None:
    database, tenant = sent.desk.database, sent.desk.tenant

    async def erase() -> None:
        async with database.transaction() as session:
            await erasures.erase(session, tenant, sent.desk.recipient_id)

    async with database.transaction() as session:
        await receipts.apply(session, receipt("complained", attempt_id=sent.attempt()), sent.attempt(), sent.key)
        erasing = asyncio.create_task(erase())
        await until_blocked(database, erasing)
    await erasing
    assert [one.address for one in await listed(sent.desk)] == [None]


async def test_many_receipts_about_one_address_never_stand_in_each_others_way(desk: Desk) -> None:
    some = [await desk.send() for _ in range(8)]
    for one in some:
        await one.claim()
        for kind in ("complained", "unsubscribed"):
            await store(desk.database, receipt(kind, id=uuid4(), attempt_id=one.attempt()))
    await asyncio.gather(*(apply_waiting(desk.database) for _ in range(3)))
    waiting = await desk.query(
        "SELECT 1 FROM receipt WHERE attempt_id = ANY(:ids) AND applied_at IS NULL", ids=[one.attempt() for one in some]
    )
    assert waiting == []
    assert [one.reason for one in await listed(desk)] == ["complained"]
