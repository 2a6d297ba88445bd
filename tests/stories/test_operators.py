"""What an operator sees and does in Temporal, and what becomes of a notification when our own code is wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities import delivery, recording, rendering, resolution, settlement
from dispatch.orphan_sweep import OrphanSweep
from dispatch.starter import WorkflowStarter
from storage import recipient_contexts
from tests.engine import ApiTenant, Engine, later
from tests.polling import eventually
from workflows import endpoint
from workflows.options import STATUS

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def why(engine: Engine, id: str) -> str:
    """The failure message of a notification's workflow."""
    with pytest.raises(WorkflowFailureError) as failed:
        await (await engine.wait_for_start(id)).result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.message


async def status_attribute(engine: Engine, id: str) -> str | None:
    return (await engine.workflow(id).describe()).typed_search_attributes.get(STATUS)


@asynccontextmanager
async def waiting(api_tenant: ApiTenant) -> AsyncIterator[str]:
    """A notification whose workflow waits until it is done with."""
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
    said = "email: refused_recipient; sms: provider_failed: credentials_refused"
    assert await why(engine, id) == f"FAILED: {said}"
    assert (await api_tenant.notification(id))["failure_reason"] == said
    assert (await engine.workflow(id).describe()).status is WorkflowExecutionStatus.FAILED


async def test_a_notification_in_doubt_is_a_failed_workflow_with_a_reason(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    id = await api_tenant.send("code")
    assert await why(engine, id) == "IN_DOUBT: email: outcome_unknown: connection_reset"
    assert await status_attribute(engine, id) == "IN_DOUBT"


async def test_a_failed_notification_is_found_by_an_operators_search(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com", phone="+15550000007")
    id = await api_tenant.send("news", priority=4)
    await api_tenant.wait_until_finished(id)
    query = f"TocsinStatus = 'FAILED' AND TocsinTenant = '{api_tenant.tenant_key}' AND TocsinType = 'news'"
    query += " AND TocsinChannel = 'sms' AND TocsinStep = 2 AND TocsinPriority = 4"

    async def found() -> list[str]:
        return [execution.id async for execution in engine.temporal.list_workflows(query)]

    assert await eventually(found, bool) == [(await api_tenant.notification(id))["workflow_id"]]
    assert (await engine.temporal.count_workflows(query)).count == 1


async def test_one_that_is_retrying_or_scheduled_is_found_while_it_waits(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email", "sms"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com", phone="+15550000002")
    retrying = await api_tenant.send("news", channels=["email"])
    scheduled = await api_tenant.send("news", send_at=later(600))

    async def found(status: str, more: str = "") -> list[str]:
        query = f"TocsinTenant = '{api_tenant.tenant_key}' AND TocsinStatus = '{status}' AND ExecutionStatus = 'Running' {more}"
        return [execution.id.split("-", 1)[1][:-2] async for execution in engine.temporal.list_workflows(query)]

    where = "AND TocsinChannel = 'email' AND TocsinStep = 1"
    await eventually(lambda: found("RETRYING", where), lambda ids: ids == [retrying])
    await eventually(lambda: found("SCHEDULED"), lambda ids: ids == [scheduled])
    await api_tenant.cancel(retrying)
    await api_tenant.cancel(scheduled)
    await eventually(lambda: found("RETRYING"), lambda ids: ids == [])


async def test_the_list_of_workflows_can_be_read_without_opening_one(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"], ["sms"], priority=2)
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_until_finished(id)
    assert await (await engine.workflow(id).describe()).static_summary() == "news, priority 2, email then sms"
    history = await engine.history(id)
    summaries = [event.user_metadata.summary.data.decode() for event in history.events if event.user_metadata.summary]
    assert '"email by sandbox, attempt 1"' in summaries


async def test_cancelled_by_an_operator_the_notification_ends_canceled(engine: Engine, api_tenant: ApiTenant) -> None:
    async with waiting(api_tenant) as id:
        await engine.workflow(id).cancel()
        shown = await api_tenant.wait_until_finished(id)
        assert (shown["status"], shown["failure_reason"]) == ("CANCELED", "canceled_in_temporal")
        await eventually(engine.workflow(id).describe, lambda d: d.status is WorkflowExecutionStatus.CANCELED)
        assert await status_attribute(engine, id) == "CANCELED"


async def test_cancelled_by_an_operator_between_attempts_it_ends_canceled(
    engine: Engine, api_tenant: ApiTenant
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    id = await api_tenant.send("news")

    async def tried() -> bool:
        return any(
            attempt["outcome"] for d in (await api_tenant.notification(id))["deliveries"] for attempt in d["attempts"]
        )

    await eventually(tried, bool)
    await engine.workflow(id).cancel()
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], [d["status"] for d in shown["deliveries"]]) == ("CANCELED", ["CANCELED"])


async def swept(engine: Engine, id: str) -> None:
    """As if it waited no more, and a minute had passed since it was last looked at, which begins when its start is
    noted."""
    aged = (
        "UPDATE queue_entry SET state = 'started', waits_until = NULL, next_at = now() - interval '1 minute'"
        " WHERE notification_id = :id AND started_at IS NOT NULL"
    )
    await eventually(lambda: engine.sql(aged, id=id), bool)
    await OrphanSweep(engine.container.database, WorkflowStarter(engine.temporal)).run()


async def test_terminated_by_an_operator_the_sweep_ends_the_notification(engine: Engine, api_tenant: ApiTenant) -> None:
    async with waiting(api_tenant) as id:
        await engine.workflow(id).terminate("an operator's test")
        await swept(engine, id)
        shown = await api_tenant.wait_until_finished(id)
        assert (shown["status"], shown["failure_reason"]) == ("FAILED", "workflow_ended (terminated)")


async def test_the_sweep_leaves_waiting_notifications(engine: Engine, api_tenant: ApiTenant) -> None:
    async with waiting(api_tenant) as id:
        await swept(engine, id)
        assert (await api_tenant.notification(id))["finished_at"] is None
        await api_tenant.cancel(id)


async def test_the_sweep_restarts_workflows_that_temporal_has_lost(engine: Engine, api_tenant: ApiTenant) -> None:
    """A row that says it was started, and no such workflow."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(600))
    await engine.wait_for_start(id)
    # The start is marked up to half a second later, and the mark would not fit another generation.
    marked = "UPDATE queue_entry SET next_at = next_at WHERE notification_id = :id AND started_at IS NOT NULL"
    await eventually(lambda: engine.sql(marked, id=id), bool)
    moved = "UPDATE notification SET generation = 2, send_at = NULL WHERE id = :id"  # Temporal knows no generation 2
    await engine.sql(moved, id=id)
    await engine.sql("UPDATE queue_entry SET generation = 2 WHERE notification_id = :id", id=id)
    await swept(engine, id)
    shown = await api_tenant.wait_for_end(id, "DELIVERED")
    assert shown["workflow_id"].endswith("-2")
    await engine.workflow(id).terminate()


def broken(name: str) -> Any:
    def mistake(*_: Any, **__: Any) -> Any:
        raise TypeError(f"a mistake in {name}")

    return mistake


@pytest.mark.parametrize(
    ("module", "name"),
    [(resolution, "read_recipient_context"), (rendering, "insert_deliveries"), (delivery, "claim_attempt")],
    ids=["resolve", "render", "deliver"],
)
async def test_a_bug_in_an_activity_ends_the_notification(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    monkeypatch.setattr(module, name, broken(name))
    id = await api_tenant.send("news")
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], shown["failure_reason"] or "") == ("FAILED", "internal")
    assert await why(engine, id) == "FAILED: internal"
    assert await status_attribute(engine, id) == "FAILED"
    assert await api_tenant.list_outbox() == []


async def test_a_bug_after_the_call_leaves_the_notification_in_doubt(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """The provider has it, and we cannot write that down: to call it failed would be a lie."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    monkeypatch.setattr(recording, "record_outcome", broken("record_outcome"))
    id = await api_tenant.send("news")
    shown = await api_tenant.wait_until_finished(id)
    assert shown["status"] == "IN_DOUBT"
    assert len(await api_tenant.list_outbox()) == 1
    monkeypatch.undo()


async def test_a_bug_in_the_workflow_ends_the_notification(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    monkeypatch.setattr(endpoint, "backoff", lambda *_: None)
    id = await api_tenant.send("news")
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", "internal")
    assert await why(engine, id) == "FAILED: internal"


async def test_a_bug_in_settlement_is_repaired_by_the_sweep(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+refuse@example.com")
    monkeypatch.setattr(settlement, "amend", broken("amend"))
    id = await api_tenant.send("news")
    with pytest.raises(WorkflowFailureError):
        await (await engine.wait_for_start(id)).result()
    monkeypatch.undo()
    assert (await api_tenant.notification(id))["finished_at"] is None
    await swept(engine, id)
    shown = await api_tenant.wait_until_finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", "workflow_ended (failed)")


async def test_an_outage_of_the_database_is_no_bug(api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited out."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    tries = 0

    async def away_at_first(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise ConnectionRefusedError
        return await recipient_contexts.read_recipient_context(*given)

    monkeypatch.setattr(resolution, "read_recipient_context", away_at_first)
    await api_tenant.wait_for_end(await api_tenant.send("news"), "DELIVERED")
    assert tries == 4
