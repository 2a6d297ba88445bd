"""Create recipients with their preferences, and merge changes without losing concurrent ones."""

import asyncio

import pytest

from storage import preferences, recipients
from storage.database import Database
from tests.storage.recipient_histories import new_recipient
from tests.storage.sends import new_tenant

pytestmark = pytest.mark.postgres


async def test_a_recipient_is_created_with_their_preferences(database: Database) -> None:
    tenant = await new_tenant(database)
    async with database.transaction() as session:
        _, created = await recipients.replace_profile(session, tenant, "ada", {})
        choices = await preferences.find(session, tenant, "ada")
    assert created
    assert choices is not None
    assert (choices.channels, choices.types, choices.quiet_hours) == ({}, {}, None)


async def test_replacing_a_profile_keeps_an_opt_out(database: Database) -> None:
    tenant = await new_tenant(database)
    await new_recipient(database, tenant)
    async with database.transaction() as session:
        await preferences.save(session, tenant, "ada", {"sms": False}, {}, None)
        _, created = await recipients.replace_profile(session, tenant, "ada", {})
        choices = await preferences.find(session, tenant, "ada")
    assert not created
    assert choices is not None
    assert choices.channels == {"sms": False}


async def test_a_recipient_created_concurrently_is_one(database: Database) -> None:
    tenant = await new_tenant(database)

    async def make() -> bool:
        async with database.transaction() as session:
            return (await recipients.replace_profile(session, tenant, "ada", {}))[1]

    assert sum(await asyncio.gather(*(make() for _ in range(8)))) == 1


async def test_merges_at_the_same_moment_lose_nothing(database: Database) -> None:
    tenant = await new_tenant(database)
    await new_recipient(database, tenant)

    async def merge(number: int) -> None:
        async with database.transaction() as session:
            await recipients.merge_profile(session, tenant, "ada", {"attributes": {f"n{number}": number}})

    await asyncio.gather(*(merge(number) for number in range(8)))
    async with database.transaction() as session:
        person = await recipients.find(session, tenant, "ada")
    assert person is not None
    assert {f"n{number}" for number in range(8)} < set(person.attributes)


async def test_the_ascii_form_of_an_old_address_is_not_left_behind(database: Database) -> None:
    tenant = await new_tenant(database)
    old = {"contact": {"email": "ada@exämple.de", "email_ascii": "ada@xn--exmple-cua.de"}}
    async with database.transaction() as session:
        await recipients.replace_profile(session, tenant, "ada", old)
        person = await recipients.merge_profile(
            session, tenant, "ada", {"contact": {"email": "ä@x.org", "email_ascii": None}}
        )
    assert person is not None
    assert person.contact == {"email": "ä@x.org"}
