"""Group dead letters by type, status and reason. Count each notification once."""

from datetime import timedelta
from typing import Any

import pytest

from domain.evidence import AttemptState
from domain.reasons import ChannelReason, Reason, failure_line
from storage import dead_letters
from storage.database import Database
from storage.dead_letters import DeadLetterGroup, FailureGroupCursor
from storage.notifications import NotificationFilter
from tests.domain.reasons import parse_failures as failures_of
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

BOUNCED = ChannelReason("email", Reason("bounced"))


async def failed(database_tenant: DatabaseTenant, *reasons: ChannelReason, kind: str = "order.shipped") -> DatabaseSend:
    sent = await (await database_tenant.send()).failed()
    await sent.fail(*reasons)
    await database_tenant.query(
        "UPDATE notification SET notification_type = :kind WHERE id = :id", id=sent.id, kind=kind
    )
    return sent


async def groups(
    database_tenant: DatabaseTenant, *, after: FailureGroupCursor | None = None, limit: int = 100, **wanted: Any
) -> list[DeadLetterGroup]:
    async with database_tenant.database.transaction() as session:
        return await dead_letters.list_failure_groups(
            session, database_tenant.tenant, NotificationFilter(**wanted), after=after, limit=limit
        )


def counts(found: list[DeadLetterGroup]) -> dict[tuple[str, str | None], int]:
    return {(one.notification_type, failure_line(one.failures)): one.count for one in found}


async def test_failures_that_differ_in_a_number_are_the_same(database_tenant: DatabaseTenant) -> None:
    for attempts in (3, 4, 12):
        await failed(
            database_tenant,
            ChannelReason("email", Reason("retries_exhausted", {"attempts": attempts, "cause": "timeout"})),
        )
    for text in ("email: retries_exhausted: unavailable", "email: refused: status_404", "internal"):
        await failed(database_tenant, *failures_of(text))
    assert counts(await groups(database_tenant)) == {
        ("order.shipped", "email: retries_exhausted: timeout"): 3,
        ("order.shipped", "email: retries_exhausted: unavailable"): 1,
        ("order.shipped", "email: refused: status_404"): 1,
        ("order.shipped", "internal"): 1,
    }


async def test_failures_are_grouped_by_type_channel_and_status(database_tenant: DatabaseTenant) -> None:
    for channel, kind in (("email", "a"), ("email", "b"), ("sms", "b")):
        await failed(database_tenant, ChannelReason(channel, Reason("bounced")), kind=kind)
    doubtful = await (await database_tenant.send()).failed(AttemptState.UNKNOWN)
    await doubtful.fail(ChannelReason("sms", Reason("bounced")))
    await database_tenant.query("UPDATE notification SET notification_type = 'b' WHERE id = :id", id=doubtful.id)
    seen = {
        (one.notification_type, one.status, one.failures[0].channel): one.count for one in await groups(database_tenant)
    }
    assert seen == {
        ("a", "FAILED", "email"): 1,
        ("b", "FAILED", "email"): 1,
        ("b", "FAILED", "sms"): 1,
        ("b", "IN_DOUBT", "sms"): 1,
    }


async def test_a_failure_without_reasons_is_shown_as_unknown(database_tenant: DatabaseTenant) -> None:
    sent = await failed(database_tenant)
    await database_tenant.query(
        "UPDATE notification SET failure_reason = NULL, failures = NULL WHERE id = :id", id=sent.id
    )
    [one] = await groups(database_tenant)
    assert failure_line(one.failures) == "unknown"


async def test_only_dead_letters_are_counted(database_tenant: DatabaseTenant) -> None:
    await (await database_tenant.send()).failed(AttemptState.ACCEPTED)
    await database_tenant.send()
    sent = await failed(database_tenant, BOUNCED)
    assert len(await groups(database_tenant)) == 1
    await sent.redriven()
    assert await groups(database_tenant) == []


async def test_a_group_has_its_start_and_its_newest_notification(database_tenant: DatabaseTenant) -> None:
    some = [await failed(database_tenant, BOUNCED) for _ in range(7)]
    [one] = await groups(database_tenant)
    times = [(await sent.row())["created_at"] for sent in some]
    assert (one.count, one.oldest, one.newest) == (7, min(times), max(times))
    assert list(one.sample_ids) == [sent.id for sent in reversed(some)][:5]


async def test_a_filter_applies_to_the_counts(database_tenant: DatabaseTenant) -> None:
    old = await failed(database_tenant, BOUNCED)
    await failed(database_tenant, BOUNCED, kind="code")
    at = (await old.row())["created_at"] + timedelta(microseconds=1)
    assert counts(await groups(database_tenant, created_before=at)) == {("order.shipped", "email: bounced"): 1}
    assert counts(await groups(database_tenant, notification_type="code")) == {("code", "email: bounced"): 1}
    assert counts(await groups(database_tenant, failure_reason="bounced", created_from=at)) == {
        ("code", "email: bounced"): 1
    }
    assert await groups(database_tenant, channel="sms") == []
    assert await groups(database_tenant, status="IN_DOUBT") == []


async def test_the_most_frequent_come_first_and_pages_have_each_group_once(database_tenant: DatabaseTenant) -> None:
    for reason, count in (("a", 1), ("b", 3), ("c", 1), ("d", 2), ("e", 1)):
        for _ in range(count):
            await failed(database_tenant, ChannelReason("email", Reason(reason)))
    seen: list[str] = []
    after = None
    while page := await groups(database_tenant, after=after, limit=2):
        seen += [one.failures[0].reason.code for one in page]
        after = page[-1].cursor
    assert seen == ["b", "d", "a", "c", "e"]


async def test_another_tenants_failures_are_not_counted(database_tenant: DatabaseTenant, database: Database) -> None:
    await failed(database_tenant, BOUNCED)
    assert await groups(await open_database_tenant(database)) == []
