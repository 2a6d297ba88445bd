"""Test the state of a workflow, as read from its history."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from testing.workflows import WorkflowProgress

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def history(*kinds: str) -> list[HistoryEvent]:
    events = []
    for number, kind in enumerate(["WORKFLOW_EXECUTION_STARTED", *kinds], start=1):
        events.append(HistoryEvent(event_id=number, event_type=EventType.Value(f"EVENT_TYPE_{kind}")))
        events[-1].event_time.FromDatetime(NOON)
    return events


TASK = ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED")


@pytest.mark.parametrize(
    ("kinds", "working"),
    [
        ((), True),
        (TASK[:1], True),
        (TASK[:2], True),
        (TASK, False),
        ((*TASK[:2], "WORKFLOW_TASK_FAILED"), True),
        ((*TASK, "WORKFLOW_EXECUTION_SIGNALED", *TASK[:1]), True),
        ((*TASK, "ACTIVITY_TASK_SCHEDULED"), True),
        ((*TASK, "ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED", *TASK), False),
        ((*TASK, *("ACTIVITY_TASK_SCHEDULED",) * 2, "ACTIVITY_TASK_COMPLETED", *TASK), True),
        ((*TASK, "WORKFLOW_EXECUTION_COMPLETED"), False),
    ],
)
def test_a_workflow_is_busy_while_a_task_or_call_is_open(kinds: tuple[str, ...], working: bool) -> None:
    moment = WorkflowProgress.of(history(*kinds))
    assert moment.is_working is working
    assert moment.is_busy(NOON) is working
    assert moment.is_closed is ("WORKFLOW_EXECUTION_COMPLETED" in kinds)


def test_timers_run_unless_they_fired_or_were_canceled() -> None:
    events = history(*TASK, "TIMER_STARTED", "TIMER_STARTED", "TIMER_STARTED", "TIMER_FIRED", "TIMER_CANCELED")
    for days, event in enumerate(events[4:7], start=1):
        event.timer_started_event_attributes.start_to_fire_timeout.FromTimedelta(timedelta(days=days))
    events[7].timer_fired_event_attributes.started_event_id = 5
    events[8].timer_canceled_event_attributes.started_event_id = 7
    moment = WorkflowProgress.of(events)
    assert moment.timers == (NOON + timedelta(days=2),)
    assert not moment.is_busy(NOON)
    assert moment.is_busy(NOON + timedelta(days=2)), "it is due, and about to fire"
