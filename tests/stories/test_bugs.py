"""Check how a notification ends after a bug in Tocsin, and that an outage of the database is not taken for one."""

from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from activities import delivery, settlement
from services import delivery_rendering, outcome_recording, planning
from storage import preferences
from tests.api_tenants import ApiTenant
from tests.engine import Engine
from tests.stories.orphan_sweeps import run_sweep
from tests.stories.workflow_data import read_failure, status_attribute
from workflows import endpoint

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


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
