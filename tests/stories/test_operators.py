"""Check what operators can see and do in Temporal, and that the sweep finds notifications without a workflow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.api_tenants import ApiTenant
from tests.engine import Engine, later
from tests.polling import eventually
from tests.stories.orphan_sweeps import run_sweep
from tests.stories.workflow_data import read_failure, status_attribute
from workflows.options import STATUS

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@asynccontextmanager
async def start_waiting_notification(api_tenant: ApiTenant) -> AsyncIterator[str]:
    """Start a notification whose workflow waits for `send_at`, and check at the end that no message was sent."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(600))
    await api_tenant.engine.wait_for_start(id)
    yield id
    assert await api_tenant.list_outbox() == []


async def test_a_failed_notification_is_a_failed_workflow_with_a_reason(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000007")
    id = await api_tenant.send("news")
    reason = "email: refused_recipient; sms: provider_failed: credentials_refused"
    assert await read_failure(engine, id) == f"FAILED: {reason}"
    assert (await api_tenant.notification(id))["failure_reason"] == reason
    assert (await engine.workflow(id).describe()).status is WorkflowExecutionStatus.FAILED


async def test_a_notification_in_doubt_is_a_failed_workflow_with_a_reason(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    id = await api_tenant.send("code")
    assert await read_failure(engine, id) == "IN_DOUBT: email: outcome_unknown: connection_reset"
    assert await status_attribute(engine, id) == "IN_DOUBT"


async def test_an_operators_search_finds_a_failed_notification(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000007")
    id = await api_tenant.send("news", priority=4)
    await api_tenant.wait_until_finished(id)
    query = f"TocsinStatus = 'FAILED' AND TocsinTenant = '{api_tenant.tenant_key}' AND TocsinType = 'news'"
    query += " AND TocsinChannel = 'sms' AND TocsinStep = 2 AND TocsinPriority = 4"

    async def list_found() -> list[str]:
        return [execution.id async for execution in engine.temporal.list_workflows(query)]

    assert await eventually(list_found, bool) == [(await api_tenant.notification(id))["workflow_id"]]
    assert (await engine.temporal.count_workflows(query)).count == 1


async def test_a_search_finds_retrying_and_scheduled_notifications_while_they_wait(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("news", ["email", "sms"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com", phone="+15550000002")
    retrying = await api_tenant.send("news", channels=["email"])
    scheduled = await api_tenant.send("news", send_at=later(600))

    async def list_running(condition: str = "") -> dict[str, str | None]:
        query = f"TocsinTenant = '{api_tenant.tenant_key}' AND ExecutionStatus = 'Running' {condition}"
        return {
            execution.id.split("-", 1)[1][:-2]: execution.typed_search_attributes.get(STATUS)
            async for execution in engine.temporal.list_workflows(query)
        }

    expected = {retrying: "RETRYING", scheduled: "SCHEDULED"}
    await eventually(list_running, lambda statuses: statuses == expected)
    condition = "AND TocsinStatus = 'RETRYING' AND TocsinChannel = 'email' AND TocsinStep = 1"
    assert await list_running(condition) == {retrying: "RETRYING"}
    assert await list_running("AND TocsinStatus = 'SCHEDULED'") == {scheduled: "SCHEDULED"}
    await api_tenant.cancel(retrying)
    await api_tenant.cancel(scheduled)
    await eventually(list_running, lambda statuses: statuses == {})


async def test_the_list_of_workflows_is_readable_without_opening_a_workflow(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"], priority=2)
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_until_finished(id)
    assert await (await engine.workflow(id).describe()).static_summary() == "news, priority 2, email then sms"
    history = await engine.history(id)
    summaries = [event.user_metadata.summary.data.decode() for event in history.events if event.user_metadata.summary]
    assert '"email by sandbox, attempt 1"' in summaries


async def test_a_workflow_canceled_by_an_operator_cancels_the_notification(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    async with start_waiting_notification(api_tenant) as id:
        await engine.workflow(id).cancel()
        notification = await api_tenant.wait_until_finished(id)
        assert (notification["status"], notification["failure_reason"]) == ("CANCELED", "canceled_in_temporal")
        await eventually(engine.workflow(id).describe, lambda d: d.status is WorkflowExecutionStatus.CANCELED)
        assert await status_attribute(engine, id) == "CANCELED"


async def test_a_workflow_canceled_between_attempts_cancels_the_notification(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    id = await api_tenant.send("news")

    async def has_attempt() -> bool:
        return any(
            attempt["outcome"] for d in (await api_tenant.notification(id))["deliveries"] for attempt in d["attempts"]
        )

    await eventually(has_attempt, bool)
    await engine.workflow(id).cancel()
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], [d["status"] for d in notification["deliveries"]]) == ("CANCELED", ["CANCELED"])


async def test_the_sweep_fails_a_notification_whose_workflow_was_terminated(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    async with start_waiting_notification(api_tenant) as id:
        await engine.workflow(id).terminate("an operator's test")
        await run_sweep(engine, id)
        notification = await api_tenant.wait_until_finished(id)
        assert (notification["status"], notification["failure_reason"]) == ("FAILED", "workflow_ended (terminated)")


async def test_the_sweep_does_not_change_waiting_notifications(engine: Engine, api_tenant: ApiTenant) -> None:
    async with start_waiting_notification(api_tenant) as id:
        await run_sweep(engine, id)
        assert (await api_tenant.notification(id))["finished_at"] is None
        await api_tenant.cancel(id)


async def test_the_sweep_restarts_workflows_that_temporal_has_lost(engine: Engine, api_tenant: ApiTenant) -> None:
    """Sweep a row that is marked as started but has no workflow."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(600))
    await engine.wait_for_start(id)
    # The start is marked up to half a second later, and the mark belongs to the first generation.
    select_marked = "UPDATE queue_entry SET next_at = next_at WHERE notification_id = :id AND started_at IS NOT NULL"
    await eventually(lambda: engine.sql(select_marked, id=id), bool)
    start_generation = (
        "UPDATE notification SET generation = 2, send_at = NULL WHERE id = :id"  # Temporal knows no generation 2
    )
    await engine.sql(start_generation, id=id)
    await engine.sql("UPDATE queue_entry SET generation = 2 WHERE notification_id = :id", id=id)
    await run_sweep(engine, id)
    notification = await api_tenant.wait_for_end(id, "DELIVERED")
    assert notification["workflow_id"].endswith("-2")
    await engine.workflow(id).terminate()
