"""Devices under concurrency: one address, one owner."""

import asyncio

import pytest

from domain.channels import DeviceKind
from storage import devices
from storage.database import Database
from storage.devices import NewDevice
from tests.storage.recipient_histories import new_recipient
from tests.storage.sends import new_tenant

pytestmark = pytest.mark.postgres

PEOPLE = [f"person-{number}" for number in range(8)]


async def test_one_token_registered_by_many_at_once_ends_with_one(database: Database) -> None:
    tenant = await new_tenant(database)
    for person in PEOPLE:
        await new_recipient(database, tenant, person)

    async def register(person: str) -> None:
        device = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": "the one"})
        async with database.transaction() as session:
            await devices.save(session, tenant, person, device)

    await asyncio.gather(*(register(person) for person in PEOPLE))
    async with database.transaction() as session:
        owners = [person for person in PEOPLE if await devices.list_devices(session, tenant, person)]
    assert len(owners) == 1


async def test_a_device_keeps_its_id_when_its_token_is_renewed(database: Database) -> None:
    """The id is the endpoint that deliveries count by: a new token is no reason to send again."""
    tenant = await new_tenant(database)
    await new_recipient(database, tenant)
    ids = set()
    for token in ("first", "second"):
        device = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": token})
        async with database.transaction() as session:
            saved = await devices.save(session, tenant, "ada", device)
        assert saved is not None
        assert saved[0].address == {"token": token}
        ids.add(saved[0].id)
    assert len(ids) == 1
