"""Test that running workflows survive a deploy: every saved history replays with the present code."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from dispatch.temporal.connection import DATA_CONVERTER
from domain.digest_and_tick_messages import DigestStart, TickInput, TickOutcome
from domain.messages import NotificationOutcome, NotificationStart
from domain.statuses import NotificationStatus
from tests.histories.continued_as_new import RENEWED
from tests.histories.keep import checksum, kept, releases
from tests.histories.record import SINGLE_ENGINE, main
from tests.histories.stories import POOLED
from workflows.digest import DigestWorkflow
from workflows.notification import NotificationWorkflow
from workflows.tick import TickWorkflow

WORKFLOWS: list[type] = [NotificationWorkflow, DigestWorkflow, TickWorkflow]
HISTORIES = Path(__file__).parents[1] / "histories"
SAVED = sorted(path.stem for path in HISTORIES.glob("*.json"))


def saved(name: str) -> WorkflowHistory:
    history = json.loads((HISTORIES / f"{name}.json").read_text())
    return WorkflowHistory.from_json(history.pop("workflowId"), history)


@pytest.mark.parametrize("runner", [UnsandboxedWorkflowRunner(), SandboxedWorkflowRunner()], ids=["plain", "sandbox"])
@pytest.mark.parametrize("name", SAVED)
async def test_a_saved_history_replays(name: str, runner: WorkflowRunner) -> None:
    """Replay as the worker runs it, and in the SDK's sandbox, which refuses calls that are not deterministic."""
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=runner)
    await replayer.replay_workflow(saved(name))


def test_every_story_that_can_be_recorded_is_saved() -> None:
    assert set(SAVED) == {*SINGLE_ENGINE, *POOLED, *RENEWED}


def test_histories_of_a_release_are_unchanged() -> None:
    """Workflows of that release may still run: histories are only added (docs/deploying.md)."""
    assert {name: checksum(name) for name in kept() if name in SAVED} == kept()


async def test_a_released_history_cannot_be_recorded_again() -> None:
    with pytest.raises(SystemExit, match=r"never recorded again: delivered$"):
        await main(["delivered", "rerouted"])


def test_every_release_keeps_its_histories() -> None:
    released = re.findall(r"^## \[(\d[^]]*)\]", (HISTORIES.parents[1] / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(released) <= set(releases())
    assert len(kept()) >= 16


def test_a_saved_history_contains_nothing_about_its_machine() -> None:
    for name in SAVED:
        text = (HISTORIES / f"{name}.json").read_text()
        assert "recorder" in text
        assert re.findall(r'"\d+@[^"]*"|"stackTrace": "[^"]+"', text) == []


@workflow.defn(name="NotificationWorkflow")
class WithAnotherTimer(NotificationWorkflow):
    """Make a change that running workflows would not survive."""

    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(start)


@workflow.defn(name="DigestWorkflow")
class DigestWithAnotherTimer(DigestWorkflow):
    @workflow.run
    async def run(self, start: DigestStart) -> None:
        await workflow.sleep(timedelta(seconds=1))
        await super().run(start)


@workflow.defn(name="TickWorkflow")
class TickWithAnotherTimer(TickWorkflow):
    @workflow.run
    async def run(self, tick: TickInput) -> TickOutcome:
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(tick)


@workflow.defn(name="NotificationWorkflow")
class WithoutTheEnd(NotificationWorkflow):
    """Stop where the old workflow continued."""

    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        return NotificationOutcome(status=NotificationStatus.SENT)


@workflow.defn(name="DigestWorkflow")
class DigestWithoutTheEnd(DigestWorkflow):
    @workflow.run
    async def run(self, start: DigestStart) -> None:
        pass


@workflow.defn(name="TickWorkflow")
class TickWithoutTheEnd(TickWorkflow):
    @workflow.run
    async def run(self, tick: TickInput) -> TickOutcome:
        return TickOutcome()


ANOTHER_TIMER: list[type] = [WithAnotherTimer, DigestWithAnotherTimer, TickWithAnotherTimer]
WITHOUT_THE_END: list[type] = [WithoutTheEnd, DigestWithoutTheEnd, TickWithoutTheEnd]


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("changed", [ANOTHER_TIMER, WITHOUT_THE_END], ids=["another timer", "without the end"])
async def test_a_change_that_breaks_running_workflows_is_noticed(name: str, changed: list[type]) -> None:
    replayer = Replayer(workflows=changed, data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner())
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(saved(name))
