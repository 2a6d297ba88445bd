"""Parked failures, grouped: by type, status and reason, each notification once."""

from datetime import timedelta
from typing import Any

import pytest

from domain.evidence import AttemptState
from domain.reasons import ChannelReason, Reason, lines
from storage import failures
from storage.database import Database
from storage.failures import Failures, Place
from storage.parked import Filter
from tests.domain.reasons import failures as failures_of
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres

BOUNCED = ChannelReason("email", Reason("bounced"))


async def failed(desk: Desk, *reasons: ChannelReason, kind: str = "order.shipped") -> Sent:
    sent = await (await desk.send()).failed()
    await sent.fail(*reasons)
    await desk.query("UPDATE notification SET notification_type = :kind WHERE id = :id", id=sent.id, kind=kind)
    return sent


async def groups(desk: Desk, *, after: Place | None = None, limit: int = 100, **wanted: Any) -> list[Failures]:
    async with desk.database.transaction() as session:
        return await failures.page(session, desk.tenant, Filter(**wanted), after=after, limit=limit)


def counts(found: list[Failures]) -> dict[tuple[str, str | None], int]:
    return {(one.notification_type, lines(one.failures)): one.count for one in found}


async def test_failures_that_differ_in_a_number_are_the_same(desk: Desk) -> None:
    for attempts in (3, 4, 12):
        await failed(desk, ChannelReason("email", Reason("gave_up", {"attempts": attempts, "cause": "timeout"})))
    for text in ("email: gave_up: unavailable", "email: refused: status_404", "internal"):
        await failed(desk, *failures_of(text))
    assert counts(await groups(desk)) == {
        ("order.shipped", "email: gave_up: timeout"): 3,
        ("order.shipped", "email: gave_up: unavailable"): 1,
        ("order.shipped", "email: refused: status_404"): 1,
        ("order.shipped", "internal"): 1,
    }


async def test_types_channels_and_statuses_are_told_apart(desk: Desk) -> None:
    for channel, kind in (("email", "a"), ("email", "b"), ("sms", "b")):
        await failed(desk, ChannelReason(channel, Reason("bounced")), kind=kind)
    doubtful = await (await desk.send()).failed(AttemptState.UNKNOWN)
    await doubtful.fail(ChannelReason("sms", Reason("bounced")))
    await desk.query("UPDATE notification SET notification_type = 'b' WHERE id = :id", id=doubtful.id)
    seen = {(one.notification_type, one.status, one.failures[0].channel): one.count for one in await groups(desk)}
    assert seen == {
        ("a", "FAILED", "email"): 1,
        ("b", "FAILED", "email"): 1,
        ("b", "FAILED", "sms"): 1,
        ("b", "IN_DOUBT", "sms"): 1,
    }


@pytest.mark.parametrize("text", ["email: gave_up after 3 attempts: timeout", None])
async def test_a_failure_from_before_there_were_codes_is_shown_as_it_is(desk: Desk, text: str | None) -> None:
    sent = await failed(desk)
    await desk.query(
        "UPDATE notification SET failure_reason = :text, failures = NULL WHERE id = :id", text=text, id=sent.id
    )
    [one] = await groups(desk)
    assert lines(one.failures) == (text or "unknown")


async def test_only_what_is_parked_is_counted(desk: Desk) -> None:
    await (await desk.send()).failed(AttemptState.ACCEPTED)
    await desk.send()
    sent = await failed(desk, BOUNCED)
    assert len(await groups(desk)) == 1
    await sent.redriven()
    assert await groups(desk) == []


async def test_a_group_says_since_when_and_names_its_newest(desk: Desk) -> None:
    some = [await failed(desk, BOUNCED) for _ in range(7)]
    [one] = await groups(desk)
    times = [(await sent.row())["created_at"] for sent in some]
    assert (one.count, one.oldest, one.newest) == (7, min(times), max(times))
    assert list(one.sample_ids) == [sent.id for sent in reversed(some)][:5]


async def test_a_filter_holds_for_what_is_counted(desk: Desk) -> None:
    old = await failed(desk, BOUNCED)
    await failed(desk, BOUNCED, kind="code")
    at = (await old.row())["created_at"] + timedelta(microseconds=1)
    assert counts(await groups(desk, created_before=at)) == {("order.shipped", "email: bounced"): 1}
    assert counts(await groups(desk, notification_type="code")) == {("code", "email: bounced"): 1}
    assert counts(await groups(desk, failure_reason="bounced", created_from=at)) == {("code", "email: bounced"): 1}
    assert await groups(desk, channel="sms") == []
    assert await groups(desk, status="IN_DOUBT") == []


async def test_the_most_frequent_come_first_and_pages_have_each_group_once(desk: Desk) -> None:
    for reason, count in (("a", 1), ("b", 3), ("c", 1), ("d", 2), ("e", 1)):
        for _ in range(count):
            await failed(desk, ChannelReason("email", Reason(reason)))
    seen: list[str] = []
    after = None
    while page := await groups(desk, after=after, limit=2):
        seen += [one.failures[0].reason.code for one in page]
        after = page[-1].place
    assert seen == ["b", "d", "a", "c", "e"]


async def test_another_tenants_failures_are_not_counted(desk: Desk, database: Database) -> None:
    await failed(desk, BOUNCED)
    assert await groups(await open_desk(database)) == []
