"""Leases of claims: how long a claim lasts, who may mark it as begun, and what is given back."""

from uuid import UUID

import pytest

from storage.database import Database
from tests.storage.queues import (
    EVER,
    ME,
    OTHER,
    accepted,
    age,
    claim,
    empty_desk,
    end_waits,
    ended,
    entry_of,
    ids,
    mark,
    postpone,
    state_of,
)
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


async def test_a_claim_that_is_not_begun_expires_after_twelve_seconds(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await claim(desk.database)
    await age(desk, 11)
    assert await end_waits(desk.database) == 0
    await age(desk, 1)
    assert await end_waits(desk.database) == 1
    assert ids(await claim(desk.database, process=OTHER)) == [one]


@pytest.mark.parametrize(("process", "generation"), [(OTHER, 1), (ME, 2)])
async def test_another_process_or_generation_marks_and_postpones_nothing(
    desk: Desk, process: UUID, generation: int
) -> None:
    [one] = await accepted(desk, 3)
    [claimed] = await claim(desk.database)
    before = await entry_of(desk, one)
    await mark(desk.database, one, process=process, generation=generation)
    if process == OTHER:
        await postpone(desk.database, [claimed], 60, process=process)
    assert await entry_of(desk, one) == before


async def test_a_late_mark_counts_until_another_process_has_claimed(desk: Desk) -> None:
    first, second = await accepted(desk, 3, 3)
    await claim(desk.database)
    await age(desk, 12)
    await end_waits(desk.database)
    await mark(desk.database, first)
    assert await state_of(desk, first) == "started"
    assert ids(await claim(desk.database, process=OTHER)) == [second]
    await mark(desk.database, second)
    assert await state_of(desk, second) == "claimed"


async def test_what_temporal_did_not_take_is_due_again_later(desk: Desk) -> None:
    [one] = await accepted(desk, 1)
    await postpone(desk.database, await claim(desk.database), 60)
    assert await end_waits(desk.database) == 0
    await age(desk, 60)
    assert await end_waits(desk.database) == 1
    [again] = await claim(desk.database)
    assert (again.id, again.started) == (one, False)


async def test_what_is_canceled_while_it_is_claimed_is_claimed_no_more_and_still_marked(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    claimed = await claim(desk.database)
    await ended(desk, one, canceled=True)
    await age(desk, 60)
    assert await end_waits(desk.database, look_back=EVER) == 0
    await postpone(desk.database, claimed, 0)
    assert await claim(desk.database, process=OTHER) == []
    await mark(desk.database, one)
    entry = await entry_of(desk, one)
    assert (entry["state"], entry["cancel_due"], entry["started_at"] is not None) == ("canceled", True, True)
