"""Leave and join a vendor's groups: the latest receipt counts, and joining lifts only what leaving has added."""

from datetime import timedelta
from itertools import permutations

import pytest

from storage import receipts
from storage.database import Database
from tests.storage.fixtures import claimed_send
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant
from tests.storage.suppression_lists import listed
from tests.storage.test_receipts import AT, apply_waiting, receipt, store

__all__ = ["claimed_send"]

pytestmark = pytest.mark.postgres
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
