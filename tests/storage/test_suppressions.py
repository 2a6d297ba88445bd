"""The suppression list: what is added stays in force until it is lifted or runs out."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from domain.channels import Channel
from domain.suppressions import SuppressionReason
from storage import suppressions
from storage.database import Database
from storage.suppressions import NewSuppression
from tests.storage.sends import CONTACT, DatabaseTenant, open_database_tenant
from tests.storage.suppression_lists import add, key_of, lift, listed

pytestmark = pytest.mark.postgres
R = SuppressionReason
SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))


def new(database_tenant: DatabaseTenant, address: str = CONTACT["email"], **more: Any) -> NewSuppression:
    fields: dict[str, Any] = {"reason": R.BOUNCED, "source": "sandbox", **more}
    key = key_of(database_tenant, "email", address)
    return NewSuppression(channel=Channel.EMAIL, address_hash=key, address={"email": address}, **fields)


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
