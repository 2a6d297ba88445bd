"""Deploy new versions while notifications wait: compatible ones, incompatible ones, and a rollback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.history.v1 import HistoryEvent

import worker
from domain.messages import NotificationOutcome, NotificationStart
from testing.installation import running_worker
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine, later
from tests.polling import eventually
from workflows.notification import NotificationWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# docs/deploying.md
STUCK_QUERY = 'ExecutionStatus = "Running" AND TemporalReportedProblems IN ("category=WorkflowTaskFailed")'


@workflow.defn(name="NotificationWorkflow", sandboxed=False)
class IncompatibleWorkflow(NotificationWorkflow):
    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        await workflow.sleep(timedelta(milliseconds=10))
        return await super().run(start)


@workflow.defn(name="NotificationWorkflow", sandboxed=False)
class PatchedWorkflow(NotificationWorkflow):
    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        if workflow.patched("a-pause-first"):
            await workflow.sleep(timedelta(milliseconds=10))
        return await super().run(start)


@asynccontextmanager
async def run_version(engine: Engine, workflow_class: type, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Run a worker of this version. It drains at the end, as in a deploy."""
    with monkeypatch.context() as patch:
        patch.setattr(worker, "NotificationWorkflow", workflow_class)
        async with running_worker(engine.container, engine.temporal):
            yield


async def start_waiting_notifications(api_tenant: ApiTenant) -> list[str]:
    """Send a notification that waits for `send_at` and one that waits to be opened, and return their ids."""
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type("alert", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": "opened", "within": "1h"}, {"channels": ["sms"]}]
    await api_tenant.call(
        "PUT", "/notification-types/alert", {"route": steps, "templates": {"email": "alert", "sms": "alert"}}
    )
    await api_tenant.put_recipient("ada", email="ada+silent@example.com", phone="+447700900123")
    ids = [await api_tenant.send("news", send_at=later(3_600)), await api_tenant.send("alert")]
    for id in ids:
        workflow = await api_tenant.engine.wait_for_start(id)
        await eventually(workflow.fetch_history, lambda history: any(map(is_timer, history.events)))
    return ids


def is_timer(event: HistoryEvent) -> bool:
    return event.HasField("timer_started_event_attributes")


async def list_stuck_workflows(engine: Engine) -> set[str]:
    return {execution.id async for execution in engine.temporal.list_workflows(STUCK_QUERY)}


async def test_an_incompatible_version_fails_no_workflow_and_is_fixed_by_a_rollback(
    engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_api_tenant(engine_without_worker) as api_tenant:
        async with run_version(engine_without_worker, NotificationWorkflow, monkeypatch):
            ids = await start_waiting_notifications(api_tenant)
        async with run_version(engine_without_worker, IncompatibleWorkflow, monkeypatch):
            for id in ids:
                await engine_without_worker.workflow(id).signal(NotificationWorkflow.evidence_arrived)
            await eventually(
                lambda: list_stuck_workflows(engine_without_worker),
                {engine_without_worker.workflow(id).id for id in ids}.__eq__,
            )
        async with run_version(engine_without_worker, NotificationWorkflow, monkeypatch):
            await eventually(lambda: list_stuck_workflows(engine_without_worker), lambda ids: not ids)
            found = [await api_tenant.notification(id) for id in ids]
            assert [(one["status"], one["finished_at"]) for one in found] == [("PENDING", None), ("SENT", None)]
            for id in ids:
                await api_tenant.cancel(id)
                await engine_without_worker.workflow(id).result()


async def test_a_patched_version_resumes_older_workflows(
    engine_without_worker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_api_tenant(engine_without_worker) as api_tenant:
        async with run_version(engine_without_worker, NotificationWorkflow, monkeypatch):
            waiting_ids = await start_waiting_notifications(api_tenant)
        async with run_version(engine_without_worker, PatchedWorkflow, monkeypatch):
            for id in waiting_ids:
                await api_tenant.cancel(id)
            ends = [(await api_tenant.wait_until_finished(id))["status"] for id in waiting_ids]
            assert ends == ["CANCELED", "SENT"]
            new_id = await api_tenant.send("news")
            assert (await api_tenant.wait_until_finished(new_id))["status"] == "SENT"
            # Read the histories while the worker runs: rows are final before the last task of their workflows.
            has_marker = [
                any(map(is_marker, (await engine_without_worker.history(id)).events)) for id in (*waiting_ids, new_id)
            ]
    assert has_marker == [False, False, True]


def is_marker(event: HistoryEvent) -> bool:
    attributes = event.marker_recorded_event_attributes
    return event.HasField("marker_recorded_event_attributes") and attributes.marker_name == "core_patch"
