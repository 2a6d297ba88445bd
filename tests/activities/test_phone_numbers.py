"""Test that a number outside the tenant's regions is skipped when channels are chosen, and again before the call."""

import pytest

from bootstrap import Container
from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import NoCallResult, ResolveInput
from domain.reasons import reason_line
from domain.statuses import DeliveryStatus
from storage.database import Database
from storage.statements import decoded
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
ADDRESSES = {"email": "ada@example.com", "phone": "+436641234567"}


async def open_german_tenant(database: Database) -> DatabaseTenant:
    database_tenant = await open_database_tenant(
        database, ADDRESSES, route=[{"channels": ["sms"]}, {"channels": ["email"]}]
    )
    await database_tenant.query(
        "UPDATE tenant SET phone_regions = '{DE}' WHERE id = :tenant", tenant=database_tenant.tenant
    )
    return database_tenant


async def test_the_guard_stops_a_call_to_another_region(activity_worker: ActivityWorker, database: Database) -> None:
    database_tenant = await open_german_tenant(database)
    sent = await database_tenant.send(Channel.SMS)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.SMS))
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, DeliveryStatus.SKIPPED)
    assert reason_line(outcome.full_reason) == "number_refused (region)"
    assert (activity_worker.sandbox.calls, await sent.rows("attempt")) == ([], [])
    await database_tenant.query(
        "UPDATE tenant SET phone_regions = '{DE,AT}' WHERE id = :tenant", tenant=database_tenant.tenant
    )
    assert (await activity_worker.deliver(sent.call(channel=Channel.SMS))).result is CallResult.ACCEPTED


async def test_the_guard_stops_a_call_to_an_expensive_number(
    activity_worker: ActivityWorker, database: Database
) -> None:
    database_tenant = await open_database_tenant(database, {"phone": "+499001234567"})
    sent = await database_tenant.send(Channel.SMS)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.SMS))
    assert (outcome.stopped_status, reason_line(outcome.full_reason)) == (
        DeliveryStatus.SKIPPED,
        "number_refused (premium_rate)",
    )


async def test_the_channel_is_skipped_when_channels_are_chosen(container: Container) -> None:
    sent = await (await open_german_tenant(container.database)).send(Channel.PUSH)
    asked = ResolveInput(notification_id=sent.id, tenant=sent.database_tenant.tenant, generation=1)
    await container.build_services().planner.plan(asked)
    rows = await sent.rows("delivery")
    reasons = {row["channel"]: (row["failure_reason"], decoded(row["failure_args"])) for row in rows}
    assert reasons["sms"] == ("number_refused", {"rule": "region"})
    assert reasons["email"] == ("no_template", {})
