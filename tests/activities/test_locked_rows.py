"""`deliver` waits for a row that another transaction holds for a short time only, and is tried again later."""

import pytest
from sqlalchemy import text

from domain.messages import Result
from storage import database as module
from storage.database import Database
from storage.outages import DATABASE_ERRORS
from tests.activities.conftest import Counter
from tests.storage.sends import Sent

pytestmark = pytest.mark.postgres

LOCK = text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE")


async def test_a_held_row_ends_the_try_and_uses_up_no_attempt(counter: Counter, database: Database, sent: Sent) -> None:
    assert module.LOCK_TIMEOUT < 5
    async with database.transaction() as session:
        await session.execute(LOCK, {"id": sent.id})
        with pytest.raises(DATABASE_ERRORS) as refused:
            await counter.deliver(sent.call())
    assert getattr(refused.value, "sqlstate", None) == "55P03"
    assert counter.sandbox.calls == []
    assert await sent.rows("attempt") == []
    assert (await counter.deliver(sent.call())).result is Result.ACCEPTED


async def test_an_answer_that_meets_a_held_row_is_recorded_by_the_workflow(
    counter: Counter, database: Database, sent: Sent
) -> None:
    async with database.transaction() as session:

        async def hold() -> None:
            await session.execute(LOCK, {"id": sent.id})

        counter.sandbox.afterwards = hold
        told = await counter.deliver(sent.call())
    assert (told.result, told.recorded) == (Result.ACCEPTED, False)
    assert (await counter.record(sent.call(), told)).status == "SENT"
