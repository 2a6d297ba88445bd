"""Test that `deliver` waits only briefly for a locked row, and is retried later."""

import pytest
from sqlalchemy import text

from domain.evidence import CallResult
from storage import database as module
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend

pytestmark = pytest.mark.postgres

LOCK = text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE")


async def test_a_held_row_ends_the_try_and_uses_up_no_attempt(
    activity_worker: ActivityWorker, database: Database, sent: DatabaseSend
) -> None:
    assert module.LOCK_TIMEOUT < 5
    async with database.transaction() as session:
        await session.execute(LOCK, {"id": sent.id})
        with pytest.raises(DATABASE_ERRORS) as refused:
            await activity_worker.deliver(sent.call())
    assert getattr(refused.value, "sqlstate", None) == "55P03"
    assert activity_worker.sandbox.calls == []
    assert await sent.rows("attempt") == []
    assert (await activity_worker.deliver(sent.call())).result is CallResult.ACCEPTED


async def test_an_outcome_at_a_locked_row_is_recorded_by_the_workflow(
    activity_worker: ActivityWorker, database: Database, sent: DatabaseSend
) -> None:
    async with database.transaction() as session:

        async def hold() -> None:
            await session.execute(LOCK, {"id": sent.id})

        activity_worker.sandbox.after_send = hold
        outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.recorded) == (CallResult.ACCEPTED, False)
    assert (await activity_worker.record(sent.call(), outcome)).status == "SENT"
