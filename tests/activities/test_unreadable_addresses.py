"""Test that a secret with a lost key costs only its own address: everything else of the recipient works."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState, CallResult
from domain.messages import NoCallResult
from domain.statuses import DeliveryStatus
from metrics.registry import REGISTRY
from providers.outcomes import ProviderAcceptance
from storage import devices, erasures, recipients
from storage.database import Database
from storage.devices import NewDevice
from storage.statements import decoded
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import CONTACT, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
UNREADABLE = (NoCallResult.STOPPED, DeliveryStatus.FAILED, "not_decrypted")


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    """Provide a recipient with a webhook URL whose key is lost, and two devices, the first with a lost key."""
    database_tenant = await open_database_tenant(database, {**CONTACT, "webhook_url": "https://example.com/hook"})
    async with database.transaction() as session:
        for name in ("lost", "kept"):
            new = NewDevice(device=name, kind=DeviceKind.FCM, address={"token": f"{name}-{uuid4()}"})
            await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
        for table, column in (("recipient", "contact"), ("device", "address")):
            lose = f"UPDATE {table} SET {column} = replace({column}::text, 'enc:', 'enc:lost-')::jsonb"
            which = " AND device = 'lost'" if table == "device" else ""
            await session.execute(text(f"{lose} WHERE tenant = :tenant{which}"), {"tenant": database_tenant.tenant})
    return database_tenant


async def endpoint(database_tenant: DatabaseTenant, device: str) -> str:
    [row] = await database_tenant.query(
        "SELECT id FROM device WHERE tenant = :tenant AND device = :device",
        tenant=database_tenant.tenant,
        device=device,
    )
    return str(row["id"])


def counted(channel: Channel) -> float:
    return REGISTRY.get_sample_value("tocsin_unreadable_addresses_total", {"channel": channel}) or 0.0


async def test_other_channels_are_used_and_the_unreadable_one_is_not(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, before = await database_tenant.send(Channel.EMAIL, Channel.WEBHOOK), counted(Channel.WEBHOOK)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.WEBHOOK))
    assert (outcome.result, outcome.stopped_status, outcome.reason) == UNREADABLE
    assert (await activity_worker.deliver(sent.call())).result is CallResult.ACCEPTED
    assert [message.channel for message in activity_worker.sandbox.calls] == [Channel.EMAIL]
    assert counted(Channel.WEBHOOK) == before + 1


async def test_other_devices_are_used_and_the_timeline_names_the_skipped_one(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, lost = await database_tenant.send(Channel.PUSH), await endpoint(database_tenant, "lost")
    for _ in range(2):  # also after a lost response of the activity
        outcome = await activity_worker.deliver(
            sent.call(channel=Channel.PUSH, endpoint_id=lost, finishes_notification=False)
        )
        assert (outcome.result, outcome.stopped_status, outcome.reason) == UNREADABLE
    kept = sent.call(channel=Channel.PUSH, endpoint_id=await endpoint(database_tenant, "kept"))
    assert (await activity_worker.deliver(kept)).result is CallResult.ACCEPTED
    events = [event for event in await sent.rows("event") if event["kind"] == "device_skipped"]
    assert [(event["channel"], event["reason"]) for event in events] == [("push", "not_decrypted")]
    assert lost in str(events[0]["detail"])


async def test_an_unreadable_address_makes_no_call(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, lost = await database_tenant.send(Channel.PUSH), await endpoint(database_tenant, "lost")
    call = sent.call(channel=Channel.PUSH, endpoint_id=lost)
    await sent.claim(channel=Channel.PUSH, endpoint_id=lost)
    state = "UPDATE attempt SET state = :state WHERE notification_id = :id"
    await database_tenant.query(state, id=sent.id, state=AttemptState.UNKNOWN)
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="m-1")]
    assert (await activity_worker.look_up(call, final=True)).result is CallResult.UNKNOWN


async def test_a_recipient_with_unreadable_secrets_is_read_and_changed(database_tenant: DatabaseTenant) -> None:
    """A change of another field keeps the secret: its key may be restored."""
    [before] = await rows(database_tenant, "recipient")
    async with database_tenant.database.transaction() as session:
        person = await recipients.find(session, database_tenant.tenant, database_tenant.recipient_id)
        changed = await recipients.merge_profile(
            session, database_tenant.tenant, database_tenant.recipient_id, {"contact": {"email": "b@example.com"}}
        )
        listed = await devices.list_devices(session, database_tenant.tenant, database_tenant.recipient_id)
    assert person is not None
    assert changed is not None
    assert (person.contact, changed.contact["email"]) == (CONTACT, "b@example.com")
    assert {each.device: bool(each.address) for each in listed} == {"lost": False, "kept": True}
    [after] = await rows(database_tenant, "recipient")
    assert after["contact"]["webhook_url"] == before["contact"]["webhook_url"]


async def test_a_recipient_with_unreadable_secrets_is_erased(database_tenant: DatabaseTenant) -> None:
    await database_tenant.send()
    async with database_tenant.database.transaction() as session:
        erasure = await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    assert erasure is not None
    assert (erasure.counts["profiles"], erasure.counts["devices"]) == (1, 2)
    assert await rows(database_tenant, "recipient") == await rows(database_tenant, "device") == []


async def rows(database_tenant: DatabaseTenant, table: str) -> list[dict[str, Any]]:
    statement = f"SELECT to_jsonb(t) AS row FROM {table} t WHERE tenant = :tenant"
    found = await database_tenant.query(statement, tenant=database_tenant.tenant)
    return [decoded(each["row"]) for each in found]
