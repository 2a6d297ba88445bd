"""Test calls to devices: each is an endpoint, and one with an invalid token is removed."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.channels import Channel, DeviceKind
from domain.evidence import CallResult
from domain.json_types import Json
from domain.messages import NoCallResult
from domain.statuses import DeliveryStatus
from providers.outcomes import ProviderRefusal
from storage import devices
from storage.database import Database
from storage.devices import NewDevice
from tests.activities.conftest import ActivityWorker, RecordingSandbox
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
R, D = CallResult, DeliveryStatus


async def test_devices_are_reached_one_by_one_and_one_is_enough(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    endpoints = [
        await add_device(database_tenant, token, name) for name, token in (("phone", "t-refuse"), ("tablet", "t-1"))
    ]
    sent = await database_tenant.send(Channel.PUSH)
    calls = [
        sent.call(channel=Channel.PUSH, endpoint_id=endpoint, finishes_notification=False) for endpoint in endpoints
    ]
    assert [(await activity_worker.deliver(call)).result for call in calls] == [R.REFUSED, R.ACCEPTED]
    assert [(m.address, m.device_kind) for m in activity_worker.sandbox.calls] == [
        ({"token": "t-refuse"}, DeviceKind.FCM),
        ({"token": "t-1"}, DeviceKind.FCM),
    ]
    assert [row["status"] for row in await sent.rows("delivery")] == ["SENT"]


async def add_device(
    database_tenant: DatabaseTenant, token: str = "t-1", name: str = "phone", kind: DeviceKind = DeviceKind.FCM
) -> str:
    """Return the endpoint of the device."""
    keys = {"p256dh": "BA", "auth": "AA"}
    address: Json = (
        {"subscription": {"endpoint": token, "keys": keys}} if kind is DeviceKind.WEB_PUSH else {"token": token}
    )
    new = NewDevice(device=name, kind=kind, address=address)
    async with database_tenant.database.transaction() as session:
        saved = await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
    assert saved is not None
    return str(saved[0].id)


async def list_tokens(database_tenant: DatabaseTenant) -> list[str]:
    async with database_tenant.database.transaction() as session:
        return [
            each.address["token"]
            for each in await devices.list_devices(session, database_tenant.tenant, database_tenant.recipient_id)
        ]


async def test_a_device_with_an_invalid_token_is_removed(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert (outcome.result, outcome.reason) == (R.REFUSED, "unregistered")
    assert await list_tokens(database_tenant) == []
    assert await sent.attempt_states() == [(1, "refused", "refused")]


async def test_a_device_that_is_merely_refused_is_kept(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="too_large")
    await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await list_tokens(database_tenant) == ["t-1"]


async def test_a_device_whose_token_was_renewed_during_the_call_is_kept(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    """The vendor's report was about the old token."""
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True)
    activity_worker.sandbox.after_send = lambda: add_device(database_tenant, "t-2")
    await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await list_tokens(database_tenant) == ["t-2"]


@pytest.mark.parametrize(("hours", "left"), [(-1, ["t-1"]), (1, [])])
async def test_a_device_that_registered_after_its_token_became_inactive_is_kept(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, hours: int, left: list[str]
) -> None:
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant)
    gone_since = datetime.now(UTC) + timedelta(hours=hours)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True, gone_since=gone_since)
    await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await list_tokens(database_tenant) == left


@pytest.mark.parametrize("gone_since", [None, datetime(2100, 1, 1, tzinfo=UTC)])
async def test_a_device_that_registered_the_same_token_during_the_call_is_kept(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, gone_since: datetime | None
) -> None:
    """The vendor's clock may be ahead."""
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True, gone_since=gone_since)
    activity_worker.sandbox.after_send = lambda: add_device(database_tenant)
    await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await list_tokens(database_tenant) == ["t-1"]


async def test_refused_credentials_remove_no_device(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant, "t-broken")
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert outcome.result is R.PERMANENT
    assert await list_tokens(database_tenant) == ["t-broken"]


async def test_a_device_of_another_recipient_is_never_changed(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, database: Database
) -> None:
    """The id of a device of one recipient is no address in the delivery of another."""
    other = await open_database_tenant(database)
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(other)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert outcome.reason == "no_address"
    assert await list_tokens(other) == ["t-1"]


async def test_an_unregistered_webhook_removes_no_device(activity_worker: ActivityWorker, database: Database) -> None:
    database_tenant = await open_database_tenant(database, {"webhook_url": "https://example.com/"})
    sent = await database_tenant.send(Channel.WEBHOOK)
    activity_worker.sandbox.answer = ProviderRefusal(reason="status_410", is_gone=True)
    assert (await activity_worker.deliver(sent.call(channel=Channel.WEBHOOK))).result is R.REFUSED


async def test_a_removed_device_is_no_address(activity_worker: ActivityWorker, database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send(Channel.PUSH)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=str(uuid4())))
    assert (outcome.result, outcome.stopped_status, outcome.reason) == (NoCallResult.STOPPED, D.FAILED, "no_address")
    assert await sent.rows("attempt") == []


@pytest.mark.parametrize("kind", [DeviceKind.APNS, DeviceKind.WEB_PUSH])
async def test_a_device_that_changed_its_kind_is_not_called_by_its_former_provider(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, monkeypatch: pytest.MonkeyPatch, kind: DeviceKind
) -> None:
    """The former vendor would report the new token as dead, and the device would be removed."""
    monkeypatch.setattr(RecordingSandbox, "device_kinds", frozenset({DeviceKind.FCM}))
    activity_worker.sandbox.answer = ProviderRefusal(reason="invalid_token", is_gone=True)
    sent, endpoint = await database_tenant.send(Channel.PUSH), await add_device(database_tenant)
    assert await add_device(database_tenant, "t-2", kind=kind) == endpoint
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert (outcome.result, outcome.stopped_status, outcome.reason) == (NoCallResult.STOPPED, D.FAILED, "no_address")
    assert activity_worker.sandbox.calls == []
    assert await sent.rows("attempt") == []
    async with database_tenant.database.transaction() as session:
        left = await devices.list_devices(session, database_tenant.tenant, database_tenant.recipient_id)
    assert [device.kind for device in left] == [kind]
