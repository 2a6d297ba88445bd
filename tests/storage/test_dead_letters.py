"""Find dead letters: which rows a filter means, in pages, and what is read with each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.cursors import MIN_ID
from domain.evidence import AttemptState
from domain.reasons import ChannelReason, Reason
from storage import dead_letters, erasures, recipients
from storage.notifications import NotificationFilter
from tests.storage.redrive_targets import failed, found
from tests.storage.sends import DatabaseSend, DatabaseTenant

__all__ = ["failed"]

pytestmark = pytest.mark.postgres


async def ids(database_tenant: DatabaseTenant, **wanted: Any) -> set[UUID]:
    async with database_tenant.database.transaction() as session:
        count = await dead_letters.count_dead_letters(session, database_tenant.tenant, NotificationFilter(**wanted))
    seen = {each.id for each in await found(database_tenant, **wanted)}
    assert len(seen) == count
    return seen


async def test_a_filter_finds_dead_letters_unless_it_names_a_status(database_tenant: DatabaseTenant) -> None:
    failed = await (await database_tenant.send()).failed()
    doubtful = await (await database_tenant.send()).failed(AttemptState.UNKNOWN)
    sent = await (await database_tenant.send()).failed(AttemptState.ACCEPTED)
    waiting = await database_tenant.send()
    assert await ids(database_tenant) == {failed.id, doubtful.id}
    assert await ids(database_tenant, status="FAILED") == {failed.id}
    assert await ids(database_tenant, status="IN_DOUBT") == {doubtful.id}
    assert await ids(database_tenant, status="SENT") == {sent.id}
    assert await ids(database_tenant, status="PENDING") == {waiting.id}


async def test_a_filter_requires_every_condition(database_tenant: DatabaseTenant) -> None:
    async with database_tenant.database.transaction() as session:
        await recipients.replace_profile(session, database_tenant.tenant, "bob", {"contact": {}})
    spring = await (await database_tenant.send(tags=("spring", "sale"))).failed()
    both = await (await database_tenant.send(Channel.EMAIL, Channel.SMS)).failed()
    bobs = await (await database_tenant.send(recipient_id="bob")).failed()
    await database_tenant.query("UPDATE notification SET notification_type = 'code' WHERE id = :id", id=both.id)
    everything = {spring.id, both.id, bobs.id}
    assert await ids(database_tenant) == everything
    assert await ids(database_tenant, tag="spring") == {spring.id}
    assert await ids(database_tenant, recipient_id="bob") == {bobs.id}
    assert await ids(database_tenant, notification_type="code") == {both.id}
    assert await ids(database_tenant, channel="sms") == {both.id}
    assert await ids(database_tenant, channel="email") == everything
    assert await ids(database_tenant, channel="sms", recipient_id="bob") == set()


async def test_a_filter_by_time_takes_its_start_and_leaves_its_end(failed: DatabaseSend) -> None:
    at = (await failed.row())["created_at"]
    after = at + timedelta(microseconds=1)
    assert await ids(failed.database_tenant, created_from=at, created_before=after) == {failed.id}
    assert (
        await ids(failed.database_tenant, created_before=at)
        == await ids(failed.database_tenant, created_from=after)
        == set()
    )


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"failure_reason": "retries_exhausted"}, True),
        ({"failure_reason": "retries_exhausted: timeout"}, True),
        ({"failure_reason": "retries_exhausted: unavailable"}, False),
        ({"failure_reason": "email: retries_exhausted"}, True),
        ({"failure_reason": "email: retries_exhausted: timeout"}, True),
        ({"failure_reason": "sms: retries_exhausted"}, False),
        ({"failure_reason": "sms: no_address"}, True),
        ({"failure_reason": "no_address"}, True),
        ({"failure_reason": "timeout"}, True),
        ({"failure_reason": "email: retries_exhausted: timeout; sms: no_address"}, True),
        ({"failure_reason": "email: retries_exhausted: timeout; sms: no_template"}, False),
        ({"failure_reason": "retries_exhausted (old)"}, True),
        ({"failure_reason": "%"}, False),
        ({"failure_reason": "retries_exhausted", "channel": "email"}, True),
        ({"failure_reason": "retries_exhausted", "channel": "sms"}, False),
        ({"failure_reason": "no_address", "channel": "sms"}, True),
    ],
)
async def test_a_reason_is_known_by_its_code_and_its_cause(
    database_tenant: DatabaseTenant, wanted: dict[str, str], fits: bool
) -> None:
    both = await (await database_tenant.send(Channel.EMAIL, Channel.SMS)).failed()
    retries_exhausted = Reason("retries_exhausted", {"attempts": 4, "cause": "timeout"})
    await both.fail(ChannelReason("email", retries_exhausted), ChannelReason("sms", Reason("no_address")))
    assert await ids(database_tenant, **wanted) == ({both.id} if fits else set())


async def test_a_reason_of_the_last_generation_is_none_of_this_one(failed: DatabaseSend) -> None:
    again = await failed.redriven()
    await again.failed()
    await again.fail(ChannelReason("email", Reason("retries_exhausted")))
    assert await ids(failed.database_tenant, failure_reason="not_accepted") == set()
    assert await ids(failed.database_tenant, failure_reason="retries_exhausted") == {failed.id}


async def test_the_pages_of_a_search_have_each_row_once(database_tenant: DatabaseTenant) -> None:
    some = [await (await database_tenant.send()).failed() for _ in range(5)]
    seen: list[UUID] = []
    async with database_tenant.database.transaction() as session:
        while True:
            after = seen[-1] if seen else MIN_ID
            page = await dead_letters.find_targets(
                session, database_tenant.tenant, NotificationFilter(), after=after, limit=2, lock=False
            )
            seen += [one.id for one in page]
            if len(page) < 2:
                break
    assert seen == [one.id for one in some]


async def test_an_erased_recipient_is_recognized_after_its_id_is_reused(failed: DatabaseSend) -> None:
    database_tenant = failed.database_tenant
    assert [one.candidate.erased for one in await found(database_tenant)] == [False]
    async with database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    assert [one.candidate.erased for one in await found(database_tenant)] == [True]
    async with database_tenant.database.transaction() as session:
        await recipients.replace_profile(
            session, database_tenant.tenant, database_tenant.recipient_id, {"contact": database_tenant.contact}
        )
    await database_tenant.query(
        "UPDATE recipient SET created_at = now() + interval '1 minute' WHERE tenant = :t", t=database_tenant.tenant
    )
    assert [one.candidate.erased for one in await found(database_tenant)] == [True]


async def test_when_it_expires_is_read_with_it(database_tenant: DatabaseTenant) -> None:
    await (await database_tenant.send(expires_in=timedelta(days=1))).failed()
    [one] = await found(database_tenant)
    assert one.candidate.expires_at is not None
    assert one.candidate.expires_at > datetime.now(UTC) + timedelta(hours=23)
    assert one.candidate.finished
