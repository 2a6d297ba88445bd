"""Workflows that were still open when the code under them changed. Recorded by the version before providers could be
asked, whose plans say `reconcile` and no settle window."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from dispatch.temporal_connection import DATA_CONVERTER
from workflows.notification import NotificationWorkflow

HISTORIES = Path(__file__).parents[1] / "histories" / "open"


def saved(path: Path) -> WorkflowHistory:
    history = json.loads(path.read_text())
    return WorkflowHistory.from_json(history.pop("workflowId"), history)


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_an_open_history_resumes(path: Path) -> None:
    await Replayer(workflows=[NotificationWorkflow], data_converter=DATA_CONVERTER).replay_workflow(saved(path))


def test_they_were_open() -> None:
    ends = [json.loads(path.read_text())["events"][-1]["eventType"] for path in HISTORIES.glob("*.json")]
    assert len(ends) == 2
    assert any(not end.startswith("EVENT_TYPE_WORKFLOW_EXECUTION") for end in ends)
