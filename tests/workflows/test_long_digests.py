"""A digest that has seen many windows goes on as a new workflow, which waits for the same one."""

from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.digesting import Digesting
from domain.clock_messages import DigestStart
from tests.engine import Shop
from tests.histories.timed import TIMER, has
from tests.polling import eventually
from workflows import options
from workflows.digest import DigestWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def window(shop: Shop) -> tuple[str, DigestStart]:
    """An open one, which closes in an hour, and what a workflow is started with that believes it is due."""
    await shop.type("news", ["email"], digest={"window": "1h"})
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news")
    shown = await eventually(lambda: shop.shown(id), lambda shown: shown["digest"] is not None)
    group = shown["workflow_id"].removeprefix("digest-")
    start = DigestStart(tenant=shop.tenant, notification_type="news", group=group, closes_at=datetime.now(UTC))
    return shown["digest"]["id"], start


async def test_it_goes_on_as_a_new_one_that_an_operator_finds_as_well(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "LONG_HISTORY", 1)
    digest, start = await window(shop)
    temporal, queue = shop.engine.temporal, f"long-{start.group}"
    close = Digesting(shop.engine.parts.database).close_digest
    unsandboxed = UnsandboxedWorkflowRunner()  # the sandbox has options of its own
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
        await has(second, TIMER)
        await shop.ok("POST", f"/digests/{digest}/flush")
        await second.signal(DigestWorkflow.opened)
        await second.result()
