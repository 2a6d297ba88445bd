"""Parked failures, grouped: by type, status and reason, each notification once."""

from datetime import timedelta
from typing import Any

import pytest

from domain.evidence import AttemptState
from storage import failures
from storage.database import Database
from storage.failures import Failures, Place
from storage.parked import Filter
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres


async def failed(desk: Desk, line: str, kind: str = "order.shipped") -> Sent:
    sent = await (await desk.send()).failed()
    await desk.query(
        "UPDATE notification SET failure_reason = :line, notification_type = :kind WHERE id = :id",
        **{"id": sent.id, "line": line, "kind": kind},
    )
    return sent


async def groups(desk: Desk, *, after: Place | None = None, limit: int = 100, **wanted: Any) -> list[Failures]:
    async with desk.database.transaction() as session:
        return await failures.page(session, desk.tenant, Filter(**wanted), after=after, limit=limit)


def counts(found: list[Failures]) -> dict[tuple[str, str | None, str], int]:
    return {(one.notification_type, one.channel, one.reason): one.count for one in found}


async def test_failures_that_differ_in_a_number_are_the_same(desk: Desk) -> None:
    for attempts in (3, 4, 12):
        await failed(desk, f"email: gave_up after {attempts} attempts: timeout")
    await failed(desk, "email: gave_up after 4 attempts: unavailable")
    await failed(desk, "email: refused: status_404")
    assert counts(await groups(desk)) == {
        ("order.shipped", "email", "gave_up after N attempts: timeout"): 3,
        ("order.shipped", "email", "gave_up after N attempts: unavailable"): 1,
        ("order.shipped", "email", "refused: status_404"): 1,
    }


async def test_types_channels_and_statuses_are_told_apart(desk: Desk) -> None:
    for line, kind in (("email: bounced", "a"), ("email: bounced", "b"), ("sms: bounced", "b")):
        await failed(desk, line, kind)
    doubtful = await (await desk.send()).failed(AttemptState.UNKNOWN)
    await desk.query(
        "UPDATE notification SET failure_reason = 'sms: bounced', notification_type = 'b' WHERE id = :id",
        id=doubtful.id,
    )
    seen = {(one.notification_type, one.status, one.channel): one.count for one in await groups(desk)}
    assert seen == {
        ("a", "FAILED", "email"): 1,
        ("b", "FAILED", "email"): 1,
        ("b", "FAILED", "sms"): 1,
        ("b", "IN_DOUBT", "sms"): 1,
    }


@pytest.mark.parametrize("line", ["email: bounced; sms: no_address", "internal", "web: 1; 2"])
async def test_a_failure_of_no_single_channel_is_told_as_it_is(desk: Desk, line: str) -> None:
    await failed(desk, line)
    [one] = await groups(desk)
    assert (one.channel, one.reason) == (None, line.replace("1", "N").replace("2", "N"))


async def test_only_what_is_parked_is_counted(desk: Desk) -> None:
    await (await desk.send()).failed(AttemptState.ACCEPTED)
    await desk.send()
    sent = await failed(desk, "email: bounced")
    assert len(await groups(desk)) == 1
    await sent.redriven()
    assert await groups(desk) == []


async def test_a_group_says_since_when_and_names_its_newest(desk: Desk) -> None:
    some = [await failed(desk, "email: bounced") for _ in range(7)]
    [one] = await groups(desk)
    times = [(await sent.row())["created_at"] for sent in some]
    assert (one.count, one.oldest, one.newest) == (7, min(times), max(times))
    assert list(one.sample_ids) == [sent.id for sent in reversed(some)][:5]


async def test_a_filter_holds_for_what_is_counted(desk: Desk) -> None:
    old = await failed(desk, "email: bounced")
    await failed(desk, "email: bounced", kind="code")
    at = (await old.row())["created_at"] + timedelta(microseconds=1)
    assert counts(await groups(desk, created_before=at)) == {("order.shipped", "email", "bounced"): 1}
    assert counts(await groups(desk, notification_type="code")) == {("code", "email", "bounced"): 1}
    assert counts(await groups(desk, failure_reason="email: b", created_from=at)) == {("code", "email", "bounced"): 1}
    assert await groups(desk, channel="sms") == []
    assert await groups(desk, status="IN_DOUBT") == []


async def test_the_most_frequent_come_first_and_pages_have_each_group_once(desk: Desk) -> None:
    for reason, count in (("a", 1), ("b", 3), ("c", 1), ("d", 2), ("e", 1)):
        for _ in range(count):
            await failed(desk, f"email: {reason}")
    seen: list[str] = []
    after = None
    while page := await groups(desk, after=after, limit=2):
        seen += [one.reason for one in page]
        after = page[-1].place
    assert seen == ["b", "d", "a", "c", "e"]


async def test_another_tenants_failures_are_not_counted(desk: Desk, database: Database) -> None:
    await failed(desk, "email: bounced")
    assert await groups(await open_desk(database)) == []
