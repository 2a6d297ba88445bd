"""A number that the tenant writes to no more is skipped when the channels are chosen, and again before the call."""

import pytest
from temporalio.testing import ActivityEnvironment

from bootstrap import Parts
from domain.channels import Channel
from domain.messages import ResolveInput, Result
from domain.reasons import line
from domain.statuses import DeliveryStatus
from storage.database import Database
from storage.rows import decoded
from tests.activities.conftest import Counter
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres
ADDRESSES = {"email": "ada@example.com", "phone": "+436641234567"}


async def open_desk_of_germany(database: Database) -> Desk:
    desk = await open_desk(database, ADDRESSES, route=[{"channels": ["sms"]}, {"channels": ["email"]}])
    await desk.query("UPDATE tenant SET phone_regions = '{DE}' WHERE id = :tenant", tenant=desk.tenant)
    return desk


async def test_the_guard_stops_a_call_to_another_region(counter: Counter, database: Database) -> None:
    desk = await open_desk_of_germany(database)
    sent = await desk.send(Channel.SMS)
    told = await counter.deliver(sent.call(channel=Channel.SMS))
    assert (told.result, told.stopped_as) == (Result.STOPPED, DeliveryStatus.SKIPPED)
    assert line(told.why) == "number_refused (region)"
    assert (counter.sandbox.calls, await sent.rows("attempt")) == ([], [])
    await desk.query("UPDATE tenant SET phone_regions = '{DE,AT}' WHERE id = :tenant", tenant=desk.tenant)
    assert (await counter.deliver(sent.call(channel=Channel.SMS))).result is Result.ACCEPTED


async def test_the_guard_stops_a_call_to_an_expensive_number(counter: Counter, database: Database) -> None:
    desk = await open_desk(database, {"phone": "+499001234567"})
    sent = await desk.send(Channel.SMS)
    told = await counter.deliver(sent.call(channel=Channel.SMS))
    assert (told.stopped_as, line(told.why)) == (DeliveryStatus.SKIPPED, "number_refused (premium_rate)")


async def test_the_channel_is_skipped_when_channels_are_chosen(parts: Parts) -> None:
    sent = await (await open_desk_of_germany(parts.database)).send(Channel.PUSH)
    asked = ResolveInput(notification_id=sent.id, tenant=sent.desk.tenant, generation=1)
    await ActivityEnvironment().run(parts.resolution.resolve_preferences, asked)
    rows = await sent.rows("delivery")
    reasons = {row["channel"]: (row["failure_reason"], decoded(row["failure_args"])) for row in rows}
    assert reasons["sms"] == ("number_refused", {"rule": "region"})
    assert reasons["email"] == ("no_template", {})
