"""Check what operators can see and do in Temporal, and how a notification ends after a bug in Tocsin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities import delivery, settlement
from dispatch.orphan_sweep import OrphanSweep
from dispatch.workflow_starter import WorkflowStarter
from services import delivery_rendering, outcome_recording, planning
from storage import preferences
from tests.api_tenants import ApiTenant
from tests.engine import Engine, later
from tests.polling import eventually
from workflows import endpoint
from workflows.options import STATUS

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def read_failure(engine: Engine, id: str) -> str:
    """Return the failure message of a notification's workflow."""
    with pytest.raises(WorkflowFailureError) as failed:
        await (await engine.wait_for_start(id)).result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.message


async def status_attribute(engine: Engine, id: str) -> str | None:
    return (await engine.workflow(id).describe()).typed_search_attributes.get(STATUS)


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


async def run_sweep(engine: Engine, id: str) -> None:
    """Run the sweep as if the notification had stopped waiting and its last check were a minute ago.

    The check becomes possible when its start is marked.
    """
    make_due = (
        "UPDATE queue_entry SET state = 'started', waits_until = NULL, next_at = now() - interval '1 minute'"
        " WHERE notification_id = :id AND started_at IS NOT NULL"
    )
    await eventually(lambda: engine.sql(make_due, id=id), bool)
    await OrphanSweep(engine.container.database, WorkflowStarter(engine.temporal)).run()


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


def raise_bug(name: str) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise TypeError(f"a bug in {name}")

    return fail


@pytest.mark.parametrize(
    ("module", "name"),
    [(planning, "read_recipient_context"), (delivery_rendering, "insert_deliveries"), (delivery, "claim_attempt")],
    ids=["resolve", "render", "deliver"],
)
async def test_a_bug_in_an_activity_fails_the_notification(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    monkeypatch.setattr(module, name, raise_bug(name))
    id = await api_tenant.send("news")
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"] or "") == ("FAILED", "internal")
    assert await read_failure(engine, id) == "FAILED: internal"
    assert await status_attribute(engine, id) == "FAILED"
    assert await api_tenant.list_outbox() == []


async def test_a_bug_after_the_call_leaves_the_notification_in_doubt(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """Do not report a failure: the provider has accepted the message, but the outcome cannot be recorded."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    monkeypatch.setattr(outcome_recording, "record_outcome", raise_bug("record_outcome"))
    id = await api_tenant.send("news")
    notification = await api_tenant.wait_until_finished(id)
    assert notification["status"] == "IN_DOUBT"
    assert len(await api_tenant.list_outbox()) == 1
    monkeypatch.undo()


async def test_a_bug_in_the_workflow_fails_the_notification(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    monkeypatch.setattr(endpoint, "backoff", lambda *_: None)
    id = await api_tenant.send("news")
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"]) == ("FAILED", "internal")
    assert await read_failure(engine, id) == "FAILED: internal"


async def test_a_bug_in_settlement_is_repaired_by_the_sweep(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com")
    monkeypatch.setattr(settlement, "amend", raise_bug("amend"))
    id = await api_tenant.send("news")
    with pytest.raises(WorkflowFailureError):
        await (await engine.wait_for_start(id)).result()
    monkeypatch.undo()
    assert (await api_tenant.notification(id))["finished_at"] is None
    await run_sweep(engine, id)
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"]) == ("FAILED", "workflow_ended (failed)")


async def test_an_activity_retries_during_an_outage_of_the_database(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refuse the first three connections. Each is a temporary error and not a bug."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    reads = 0

    async def refuse_three_connections(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads <= 3:
            raise ConnectionRefusedError
        return await preferences.read_recipient_context(*args)

    monkeypatch.setattr(planning, "read_recipient_context", refuse_three_connections)
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    assert reads == 4
