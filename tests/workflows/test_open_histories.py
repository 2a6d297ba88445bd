"""Test that open workflows resume after a deploy: the beginning of every saved history replays with the present
code."""

import json
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from dispatch.temporal.connection import DATA_CONVERTER
from tests.workflows.test_replay import HISTORIES, SAVED, WORKFLOWS


def last_wait(name: str) -> WorkflowHistory | None:
    """Return the history up to the event that ended its last wait, or None if it ended with its first task."""
    saved: dict[str, Any] = json.loads((HISTORIES / f"{name}.json").read_text())
    kinds = [event["eventType"] for event in saved["events"]]
    tasks = [number for number, kind in enumerate(kinds) if kind == "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"]
    if len(tasks) < 2:
        return None
    return WorkflowHistory.from_json(saved["workflowId"], {"events": saved["events"][: tasks[-1]]})


OPEN = {name: history for name in SAVED if (history := last_wait(name)) is not None}


@pytest.mark.parametrize("name", OPEN)
async def test_an_open_history_resumes(name: str) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(OPEN[name])


def test_most_saved_histories_have_a_wait() -> None:
    assert len(OPEN) > len(SAVED) / 2
