"""A new version beside notifications that wait: what it may change, how a mistake shows, and that going back mends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.history.v1 import HistoryEvent

import worker
from domain.messages import NotificationOutcome, NotificationStart
from testing.stage import working
from tests.engine import Engine, Shop, later, open_shop
from tests.polling import eventually
from workflows.notification import NotificationWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# docs/deploying.md
STUCK = 'ExecutionStatus = "Running" AND TemporalReportedProblems IN ("category=WorkflowTaskFailed")'


@workflow.defn(name="NotificationWorkflow", sandboxed=False)
class Incompatible(NotificationWorkflow):
    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        await workflow.sleep(timedelta(milliseconds=10))
        return await super().run(start)


@workflow.defn(name="NotificationWorkflow", sandboxed=False)
class Patched(NotificationWorkflow):
    @workflow.run
    async def run(self, start: NotificationStart) -> NotificationOutcome:
        if workflow.patched("a-pause-first"):
            await workflow.sleep(timedelta(milliseconds=10))
        return await super().run(start)


@asynccontextmanager
async def version(engine: Engine, code: type, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A worker of this version; at the end it drains, as in a deploy."""
    with monkeypatch.context() as patch:
        patch.setattr(worker, "NotificationWorkflow", code)
        async with working(engine.parts, engine.temporal):
            yield


async def waiting(shop: Shop) -> list[str]:
    """One that waits for its time and one that waits to be opened."""
    await shop.type("news", ["email"])
    await shop.type("alert", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": "opened", "within": "1h"}, {"channels": ["sms"]}]
    await shop.ok("PUT", "/notification-types/alert", {"route": steps, "templates": {"email": "alert", "sms": "alert"}})
    await shop.person("ada", email="ada+silent@example.com", phone="+447700900123")
    ids = [await shop.send("news", send_at=later(3_600)), await shop.send("alert")]
    for id in ids:
        workflow = await shop.engine.started(id)
        await eventually(workflow.fetch_history, lambda history: any(map(is_timer, history.events)))
    return ids


def is_timer(event: HistoryEvent) -> bool:
    return event.HasField("timer_started_event_attributes")


async def stuck(engine: Engine) -> set[str]:
    return {each.id async for each in engine.temporal.list_workflows(STUCK)}


async def test_an_incompatible_version_fails_nothing_shows_itself_and_is_mended_by_going_back(
    deployed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_shop(deployed) as shop:
        async with version(deployed, NotificationWorkflow, monkeypatch):
            ids = await waiting(shop)
        async with version(deployed, Incompatible, monkeypatch):
            for id in ids:
                await deployed.workflow(id).signal(NotificationWorkflow.evidence)
            await eventually(lambda: stuck(deployed), {deployed.workflow(id).id for id in ids}.__eq__)
        async with version(deployed, NotificationWorkflow, monkeypatch):
            await eventually(lambda: stuck(deployed), lambda left: not left)
            shown = [await shop.shown(id) for id in ids]
            assert [(each["status"], each["finished_at"]) for each in shown] == [("PENDING", None), ("SENT", None)]
            for id in ids:
                await shop.cancel(id)
                await deployed.workflow(id).result()


async def test_a_patched_version_carries_on_what_the_one_before_began_and_is_new_for_the_rest(
    deployed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_shop(deployed) as shop:
        async with version(deployed, NotificationWorkflow, monkeypatch):
            old = await waiting(shop)
        async with version(deployed, Patched, monkeypatch):
            for id in old:
                await shop.cancel(id)
            ends = [(await shop.finished(id))["status"] for id in old]
            assert ends == ["CANCELED", "SENT"]
            new = await shop.send("news")
            assert (await shop.finished(new))["status"] == "SENT"
            # Here, since the rows are final before the last task of their workflows.
            marked = [any(map(is_marker, (await deployed.history(id)).events)) for id in (*old, new)]
    assert marked == [False, False, True]


def is_marker(event: HistoryEvent) -> bool:
    attributes = event.marker_recorded_event_attributes
    return event.HasField("marker_recorded_event_attributes") and attributes.marker_name == "core_patch"
