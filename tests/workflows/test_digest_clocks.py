"""Test a digest's workflow whose clock differs from the database's."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.worker import Worker

from domain.digest_and_tick_messages import DigestCloseInput, DigestCloseResult, DigestStart
from tests.engine import Engine
from workflows.digest import DigestWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


class Behind:
    """Return "not yet" for some seconds after the window is due by Temporal's clock."""

    def __init__(self, seconds: float) -> None:
        self.asked = 0
        self._closes_at = datetime.now(UTC)
        self._behind = timedelta(seconds=seconds)

    @activity.defn
    async def close_digest(self, given: DigestCloseInput) -> DigestCloseResult:
        self.asked += 1
        return DigestCloseResult(
            closes_at=self._closes_at if datetime.now(UTC) < self._closes_at + self._behind else None
        )


async def test_an_early_close_is_retried_after_the_minimum_wait(engine: Engine) -> None:
    behind, name = Behind(2.5), f"behind-{uuid4()}"
    start = DigestStart(tenant=uuid4(), notification_type="news", digest_key="g", closes_at=datetime.now(UTC))
    async with Worker(engine.temporal, task_queue=name, workflows=[DigestWorkflow], activities=[behind.close_digest]):
        await engine.temporal.execute_workflow(DigestWorkflow.run, start, id=name, task_queue=name)
    assert 2 <= behind.asked <= 5
