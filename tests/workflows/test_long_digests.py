"""Test that a digest with many windows continues as a new run, which waits for the same window."""

from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.digests_and_ticks import DigestActivities
from domain.digest_and_tick_messages import DigestStart
from tests.api_tenants import ApiTenant
from tests.histories.time_gates import TIMER, wait_for_events
from tests.polling import eventually
from workflows import options
from workflows.digest import DigestWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def window(api_tenant: ApiTenant) -> tuple[str, DigestStart]:
    """Return an open window that closes in an hour, and the start of a workflow that takes it as due."""
    await api_tenant.put_type("news", ["email"], digest={"window": "1h"})
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news")
    shown = await eventually(lambda: api_tenant.notification(id), lambda shown: shown["digest"] is not None)
    digest_key = shown["workflow_id"].removeprefix("digest-")
    start = DigestStart(
        tenant=api_tenant.tenant, notification_type="news", digest_key=digest_key, closes_at=datetime.now(UTC)
    )
    return shown["digest"]["id"], start


async def test_a_continued_digest_is_found_by_operators(api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "MAX_HISTORY_EVENTS", 1)
    digest, start = await window(api_tenant)
    temporal, queue = api_tenant.engine.temporal, f"long-{start.digest_key}"
    close = DigestActivities(api_tenant.engine.container.database).close_digest
    unsandboxed = UnsandboxedWorkflowRunner()  # the sandbox has its own options
    async with Worker(
        temporal, task_queue=queue, workflows=[DigestWorkflow], activities=[close], workflow_runner=unsandboxed
    ):
        known = TypedSearchAttributes([SearchAttributePair(options.TYPE, "news")])
        first = await temporal.start_workflow(
            DigestWorkflow.run, start, id=queue, task_queue=queue, search_attributes=known
        )
        second = temporal.get_workflow_handle(queue)
        seen = await eventually(second.describe, lambda seen: seen.run_id != first.first_execution_run_id)
        assert (seen.status, seen.typed_search_attributes[options.TYPE]) == (WorkflowExecutionStatus.RUNNING, "news")
        await wait_for_events(second, TIMER)
        await api_tenant.call("POST", f"/digests/{digest}/flush")
        await second.signal(DigestWorkflow.window_opened)
        await second.result()
