"""Test that an older workflow worker that gets a newer value waits for a newer worker during a rolling deploy."""

from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowHistory
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.channels import Channel
from domain.messages import NotificationStart
from tests.engine import Engine
from tests.polling import eventually
from tests.workflows.test_activity_failures import Scripted, channel, plan_of
from workflows.notification import NotificationWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@activity.defn
async def deliver(_: Any) -> dict[str, str]:
    return {"result": "a_word_of_a_newer_version"}


def has_failed_tasks(history: WorkflowHistory) -> bool:
    return any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)


async def test_a_result_that_the_workflow_does_not_know_is_read_again_later(engine: Engine) -> None:
    scripted = Scripted(plan_of(channel(Channel.EMAIL, "smtp")))
    start = NotificationStart(
        notification_id=uuid4(), tenant=uuid4(), generation=1, notification_type="news", priority=3
    )
    worker = Worker(
        engine.temporal,
        task_queue=scripted.name,
        workflows=[NotificationWorkflow],
        activities=[scripted.resolve_preferences, scripted.settle, deliver],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker:
        handle = await engine.temporal.start_workflow(
            NotificationWorkflow.run, start, id=scripted.name, task_queue=scripted.name
        )
        await eventually(handle.fetch_history, has_failed_tasks)
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert scripted.settled == []
        await handle.terminate()
