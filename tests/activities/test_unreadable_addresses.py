"""A secret whose key is lost costs the one address that it belongs to: everything else of the recipient works."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState
from domain.messages import Result
from domain.statuses import DeliveryStatus
from metrics.registry import REGISTRY
from providers.outcomes import Accepted
from storage import devices, erasures, recipients
from storage.database import Database
from storage.devices import NewDevice
from storage.rows import decoded
from tests.activities.conftest import Counter
from tests.storage.sends import CONTACT, Desk, open_desk

pytestmark = pytest.mark.postgres
UNREADABLE = (Result.STOPPED, DeliveryStatus.FAILED, "not_decrypted")


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Its recipient has a webhook URL, whose key is lost, and two devices; the key of the first device is lost."""
    desk = await open_desk(database, {**CONTACT, "webhook_url": "https://example.com/hook"})
    async with database.transaction() as session:
        for name in ("lost", "kept"):
            new = NewDevice(device=name, kind=DeviceKind.FCM, address={"token": f"{name}-{uuid4()}"})
            await devices.save(session, desk.tenant, desk.recipient_id, new)
        for table, column in (("recipient", "contact"), ("device", "address")):
            lose = f"UPDATE {table} SET {column} = replace({column}::text, 'enc:', 'enc:lost-')::jsonb"
            which = " AND device = 'lost'" if table == "device" else ""
            await session.execute(text(f"{lose} WHERE tenant = :tenant{which}"), {"tenant": desk.tenant})
    return desk


async def endpoint(desk: Desk, device: str) -> str:
    [row] = await desk.query(
        "SELECT id FROM device WHERE tenant = :tenant AND device = :device", tenant=desk.tenant, device=device
    )
    return str(row["id"])


def counted(channel: Channel) -> float:
    return REGISTRY.get_sample_value("tocsin_unreadable_addresses_total", {"channel": channel}) or 0.0


async def test_other_channels_are_used_and_the_unreadable_one_is_not(counter: Counter, desk: Desk) -> None:
    sent, before = await desk.send(Channel.EMAIL, Channel.WEBHOOK), counted(Channel.WEBHOOK)
    told = await counter.deliver(sent.call(channel=Channel.WEBHOOK))
    assert (told.result, told.stopped_as, told.reason) == UNREADABLE
    assert (await counter.deliver(sent.call())).result is Result.ACCEPTED
    assert [message.channel for message in counter.sandbox.calls] == [Channel.EMAIL]
    assert counted(Channel.WEBHOOK) == before + 1


async def test_other_devices_are_used_and_the_timeline_names_the_skipped_one(counter: Counter, desk: Desk) -> None:
    sent, lost = await desk.send(Channel.PUSH), await endpoint(desk, "lost")
    for _ in range(2):  # also after a lost answer of the activity
        told = await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=lost, ends=False))
        assert (told.result, told.stopped_as, told.reason) == UNREADABLE
    kept = sent.call(channel=Channel.PUSH, endpoint_id=await endpoint(desk, "kept"))
    assert (await counter.deliver(kept)).result is Result.ACCEPTED
    events = [event for event in await sent.rows("event") if event["kind"] == "device_skipped"]
    assert [(event["channel"], event["reason"]) for event in events] == [("push", "not_decrypted")]
    assert lost in str(events[0]["detail"])


async def test_a_provider_is_not_asked_for_an_unreadable_address(counter: Counter, desk: Desk) -> None:
    sent, lost = await desk.send(Channel.PUSH), await endpoint(desk, "lost")
    call = sent.call(channel=Channel.PUSH, endpoint_id=lost)
    await sent.claim(channel=Channel.PUSH, endpoint_id=lost)
    state = "UPDATE attempt SET state = :state WHERE notification_id = :id"
    await desk.query(state, id=sent.id, state=AttemptState.UNKNOWN)
    counter.sandbox.found = [Accepted(message_id="m-1")]
    assert (await counter.look_up(call, final=True)).result is Result.UNKNOWN


async def test_a_recipient_with_unreadable_secrets_is_read_and_changed(desk: Desk) -> None:
    """A change of something else keeps the secret: its key may come back."""
    [before] = await rows(desk, "recipient")
    async with desk.database.transaction() as session:
        person = await recipients.find(session, desk.tenant, desk.recipient_id)
        changed = await recipients.merge(
            session, desk.tenant, desk.recipient_id, {"contact": {"email": "b@example.com"}}
        )
        listed = await devices.list_of(session, desk.tenant, desk.recipient_id)
    assert person is not None
    assert changed is not None
    assert (person.contact, changed.contact["email"]) == (CONTACT, "b@example.com")
    assert {each.device: bool(each.address) for each in listed} == {"lost": False, "kept": True}
    [after] = await rows(desk, "recipient")
    assert after["contact"]["webhook_url"] == before["contact"]["webhook_url"]


async def test_a_recipient_with_unreadable_secrets_is_erased(desk: Desk) -> None:
    await desk.send()
    async with desk.database.transaction() as session:
        erasure = await erasures.erase(session, desk.tenant, desk.recipient_id)
    assert erasure is not None
    assert (erasure.counts["profiles"], erasure.counts["devices"]) == (1, 2)
    assert await rows(desk, "recipient") == await rows(desk, "device") == []


async def rows(desk: Desk, table: str) -> list[dict[str, Any]]:
    statement = f"SELECT to_jsonb(t) AS row FROM {table} t WHERE tenant = :tenant"
    found = await desk.query(statement, tenant=desk.tenant)
    return [decoded(each["row"]) for each in found]
