"""What an adapter is told beside words and address: how urgent a message is, and until when it is of use."""

from datetime import timedelta

import pytest

from tests.activities.conftest import Counter
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres


async def test_the_vendor_is_told_how_urgent_it_is_and_when_it_expires(counter: Counter, desk: Desk) -> None:
    urgent, ordinary = await desk.send(priority=1, expires_in=timedelta(hours=1)), await desk.send(priority=4)
    for sent in (urgent, ordinary):
        await counter.deliver(sent.call())
    expires_at = (await urgent.row())["expires_at"]
    assert expires_at is not None
    assert [(message.priority, message.expires_at) for message in counter.sandbox.calls] == [(1, expires_at), (4, None)]


async def test_the_vendor_is_told_the_tags_and_whether_it_may_track(counter: Counter, desk: Desk) -> None:
    sent = await desk.send()
    await desk.query("UPDATE notification SET tags = '{spring,order-7}' WHERE id = :id", id=sent.id)
    tracking = """UPDATE notification_type SET spec = spec || '{"tracking": {"vendor": true}}' WHERE id = :id"""
    await counter.deliver(sent.call())
    await desk.query(tracking, id=desk.type_id)
    await counter.deliver((await desk.send()).call())
    told = [(message.tags, message.vendor_tracking) for message in counter.sandbox.calls]
    assert told == [(("spring", "order-7"), False), ((), True)]
