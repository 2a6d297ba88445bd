"""What an operator sees and does in Temporal, and what becomes of a notification when our own code is wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities import composition, delivery, recording, resolution, settlement
from dispatch.starter import Starter
from dispatch.sweep import Sweep
from storage import audiences
from tests.engine import Engine, Shop, later
from tests.polling import eventually
from workflows import endpoint
from workflows.options import STATUS

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def why(engine: Engine, id: str) -> str:
    """The failure message of a notification's workflow."""
    with pytest.raises(WorkflowFailureError) as failed:
        await (await engine.started(id)).result()
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.message


async def status_attribute(engine: Engine, id: str) -> str | None:
    return (await engine.workflow(id).describe()).typed_search_attributes.get(STATUS)


@asynccontextmanager
async def waiting(shop: Shop) -> AsyncIterator[str]:
    """A notification whose workflow waits until it is done with."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(600))
    await shop.engine.started(id)
    yield id
    assert await shop.outbox() == []


async def test_a_failed_notification_is_a_failed_workflow_that_says_why(engine: Engine, shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+refuse@example.com", phone="+15550000007")
    id = await shop.send("news")
    said = "email: refused_recipient; sms: provider_failed: credentials_refused"
    assert await why(engine, id) == f"FAILED: {said}"
    assert (await shop.shown(id))["failure_reason"] == said
    assert (await engine.workflow(id).describe()).status is WorkflowExecutionStatus.FAILED


async def test_a_notification_in_doubt_is_a_failed_workflow_that_says_why(engine: Engine, shop: Shop) -> None:
    await shop.type("code", ["email"], delivery_guarantee="at_most_once")
    await shop.person("ada", email="ada+lost@example.com")
    id = await shop.send("code")
    assert await why(engine, id) == "IN_DOUBT: email: outcome_unknown: connection_reset"
    assert await status_attribute(engine, id) == "IN_DOUBT"


async def test_a_failed_one_is_found_by_what_an_operator_knows(engine: Engine, shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"])
    await shop.person("ada", email="ada+refuse@example.com", phone="+15550000007")
    id = await shop.send("news", priority=4)
    await shop.finished(id)
    query = f"TocsinStatus = 'FAILED' AND TocsinTenant = '{shop.tenant_key}' AND TocsinType = 'news'"
    query += " AND TocsinChannel = 'sms' AND TocsinStep = 2 AND TocsinPriority = 4"

    async def found() -> list[str]:
        return [execution.id async for execution in engine.temporal.list_workflows(query)]

    assert await eventually(found, bool) == [(await shop.shown(id))["workflow_id"]]
    assert (await engine.temporal.count_workflows(query)).count == 1


async def test_one_that_is_retrying_or_scheduled_is_found_while_it_waits(engine: Engine, shop: Shop) -> None:
    await shop.type("news", ["email", "sms"])
    await shop.person("ada", email="ada+error@example.com", phone="+15550000002")
    retrying = await shop.send("news", channels=["email"])
    scheduled = await shop.send("news", send_at=later(600))

    async def found(status: str, more: str = "") -> list[str]:
        query = (
            f"TocsinTenant = '{shop.tenant_key}' AND TocsinStatus = '{status}' AND ExecutionStatus = 'Running' {more}"
        )
        return [execution.id.split("-", 1)[1][:-2] async for execution in engine.temporal.list_workflows(query)]

    where = "AND TocsinChannel = 'email' AND TocsinStep = 1"
    await eventually(lambda: found("RETRYING", where), lambda ids: ids == [retrying])
    await eventually(lambda: found("SCHEDULED"), lambda ids: ids == [scheduled])
    await shop.cancel(retrying)
    await shop.cancel(scheduled)
    await eventually(lambda: found("RETRYING"), lambda ids: ids == [])


async def test_the_list_of_workflows_can_be_read_without_opening_one(engine: Engine, shop: Shop) -> None:
    await shop.type("news", ["email"], ["sms"], priority=2)
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news")
    await shop.finished(id)
    assert await (await engine.workflow(id).describe()).static_summary() == "news, priority 2, email then sms"
    history = await engine.history(id)
    summaries = [event.user_metadata.summary.data.decode() for event in history.events if event.user_metadata.summary]
    assert '"email by sandbox, attempt 1"' in summaries


async def test_cancelled_by_an_operator_the_notification_ends_canceled(engine: Engine, shop: Shop) -> None:
    async with waiting(shop) as id:
        await engine.workflow(id).cancel()
        shown = await shop.finished(id)
        assert (shown["status"], shown["failure_reason"]) == ("CANCELED", "canceled_in_temporal")
        await eventually(engine.workflow(id).describe, lambda d: d.status is WorkflowExecutionStatus.CANCELED)
        assert await status_attribute(engine, id) == "CANCELED"


async def test_cancelled_by_an_operator_between_attempts_it_ends_canceled(engine: Engine, shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    id = await shop.send("news")

    async def tried() -> bool:
        return any(attempt["outcome"] for d in (await shop.shown(id))["deliveries"] for attempt in d["attempts"])

    await eventually(tried, bool)
    await engine.workflow(id).cancel()
    shown = await shop.finished(id)
    assert (shown["status"], [d["status"] for d in shown["deliveries"]]) == ("CANCELED", ["CANCELED"])


async def swept(engine: Engine, id: str) -> None:
    """As if it waited no more, and a minute had passed since it was last looked at, which begins when its start is
    noted."""
    aged = (
        "UPDATE queue_entry SET state = 'started', waits_until = NULL, next_at = now() - interval '1 minute'"
        " WHERE notification_id = :id AND started_at IS NOT NULL"
    )
    await eventually(lambda: engine.sql(aged, id=id), bool)
    await Sweep(engine.parts.database, Starter(engine.temporal)).run()


async def test_terminated_by_an_operator_the_sweep_ends_the_notification(engine: Engine, shop: Shop) -> None:
    async with waiting(shop) as id:
        await engine.workflow(id).terminate("an operator's test")
        await swept(engine, id)
        shown = await shop.finished(id)
        assert (shown["status"], shown["failure_reason"]) == ("FAILED", "workflow_ended (terminated)")


async def test_the_sweep_leaves_alone_what_still_waits(engine: Engine, shop: Shop) -> None:
    async with waiting(shop) as id:
        await swept(engine, id)
        assert (await shop.shown(id))["finished_at"] is None
        await shop.cancel(id)


async def test_the_sweep_starts_again_what_temporal_has_lost(engine: Engine, shop: Shop) -> None:
    """A row that says it was started, and no such workflow."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(600))
    await engine.started(id)
    # The start is marked up to half a second later, and the mark would not fit another generation.
    marked = "UPDATE queue_entry SET next_at = next_at WHERE notification_id = :id AND started_at IS NOT NULL"
    await eventually(lambda: engine.sql(marked, id=id), bool)
    moved = "UPDATE notification SET generation = 2, send_at = NULL WHERE id = :id"  # Temporal knows no generation 2
    await engine.sql(moved, id=id)
    await engine.sql("UPDATE queue_entry SET generation = 2 WHERE notification_id = :id", id=id)
    await swept(engine, id)
    shown = await shop.ended(id, "DELIVERED")
    assert shown["workflow_id"].endswith("-2")
    await engine.workflow(id).terminate()


def broken(name: str) -> Any:
    def mistake(*_: Any, **__: Any) -> Any:
        raise TypeError(f"a mistake in {name}")

    return mistake


@pytest.mark.parametrize(
    ("module", "name"),
    [(resolution, "read_audience"), (composition, "insert_deliveries"), (delivery, "claim_attempt")],
    ids=["resolve", "render", "deliver"],
)
async def test_a_mistake_in_an_activity_ends_the_notification(
    engine: Engine, shop: Shop, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    monkeypatch.setattr(module, name, broken(name))
    id = await shop.send("news")
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"] or "") == ("FAILED", "internal")
    assert await why(engine, id) == "FAILED: internal"
    assert await status_attribute(engine, id) == "FAILED"
    assert await shop.outbox() == []


async def test_a_mistake_after_the_call_leaves_it_in_doubt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """The provider has it, and we cannot write that down: to call it failed would be a lie."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+silent@example.com")
    monkeypatch.setattr(recording, "record_outcome", broken("record_outcome"))
    id = await shop.send("news")
    shown = await shop.finished(id)
    assert shown["status"] == "IN_DOUBT"
    assert len(await shop.outbox()) == 1
    monkeypatch.undo()


async def test_a_mistake_in_the_workflow_ends_the_notification(
    engine: Engine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+error@example.com")
    monkeypatch.setattr(endpoint, "backoff", lambda *_: None)
    id = await shop.send("news")
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", "internal")
    assert await why(engine, id) == "FAILED: internal"


async def test_a_mistake_in_settling_itself_is_put_right_by_the_sweep(
    engine: Engine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+refuse@example.com")
    monkeypatch.setattr(settlement, "amend", broken("amend"))
    id = await shop.send("news")
    with pytest.raises(WorkflowFailureError):
        await (await engine.started(id)).result()
    monkeypatch.undo()
    assert (await shop.shown(id))["finished_at"] is None
    await swept(engine, id)
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("FAILED", "workflow_ended (failed)")


async def test_an_outage_of_the_database_is_no_mistake(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited out."""
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    tries = 0

    async def away_at_first(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise ConnectionRefusedError
        return await audiences.read_audience(*given)

    monkeypatch.setattr(resolution, "read_audience", away_at_first)
    await shop.ended(await shop.send("news"), "DELIVERED")
    assert tries == 4
