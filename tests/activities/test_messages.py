"""Test what an adapter gets besides content and address: priority and expiry."""

from datetime import timedelta

import pytest

from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres


async def test_the_vendor_gets_the_priority_and_the_expiry(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    urgent, ordinary = (
        await database_tenant.send(priority=1, expires_in=timedelta(hours=1)),
        await database_tenant.send(priority=4),
    )
    for sent in (urgent, ordinary):
        await activity_worker.deliver(sent.call())
    expires_at = (await urgent.row())["expires_at"]
    assert expires_at is not None
    assert [(message.priority, message.expires_at) for message in activity_worker.sandbox.calls] == [
        (1, expires_at),
        (4, None),
    ]


async def test_the_vendor_gets_the_tags_and_the_tracking_setting(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent = await database_tenant.send()
    await database_tenant.query("UPDATE notification SET tags = '{spring,order-7}' WHERE id = :id", id=sent.id)
    tracking = """UPDATE notification_type SET spec = spec || '{"tracking": {"vendor": true}}' WHERE id = :id"""
    await activity_worker.deliver(sent.call())
    await database_tenant.query(tracking, id=database_tenant.type_id)
    await activity_worker.deliver((await database_tenant.send()).call())
    settings = [(message.tags, message.vendor_tracking) for message in activity_worker.sandbox.calls]
    assert settings == [(("spring", "order-7"), False), ((), True)]
