"""Test that concurrent calls of a tenant share statements, and that no call waits long or fails because of another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.statement_groups import MAX_GROUP_SIZE, StatementGroups
from tests.polling import eventually

ADA, BOB = uuid4(), uuid4()


class Statements:
    """Record the groups. Every statement waits until it is released; negative items are errors."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.through = asyncio.Event()
        self.error: Exception = ValueError("negative")

    async def run(self, tenant: UUID, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        await self.through.wait()
        if any(item < 0 for item in items):
            raise self.error
        return [2 * item for item in items]


async def test_calls_during_a_statement_share_the_next_one() -> None:
    statements = Statements()
    groups = StatementGroups(statements.run)
    first = asyncio.create_task(groups.submit(ADA, 1))
    await _until_running(statements, 1)
    others = [asyncio.create_task(groups.submit(ADA, number)) for number in (2, 3, 4)]
    await eventually(_waiting(groups), lambda count: count == 3)
    statements.through.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert statements.groups == [[1], [2, 3, 4]]


async def test_a_group_leaves_no_timer_behind() -> None:
    states: list[Any] = []

    async def run(tenant: UUID, items: Sequence[int]) -> Sequence[int]:
        states.append(groups._tenants[tenant])
        return items

    groups = StatementGroups(run)
    assert await asyncio.gather(*(groups.submit(ADA, number) for number in range(3))) == [0, 1, 2]
    assert [state.timer for state in states] == [None]
    assert groups._tenants == {}


async def test_a_statement_that_does_not_end_holds_up_no_other_call() -> None:
    statements = Statements()
    groups = StatementGroups(statements.run)
    first = asyncio.create_task(groups.submit(ADA, 1))
    await _until_running(statements, 1)
    second = asyncio.create_task(groups.submit(ADA, 2))
    await _until_running(statements, 2)
    assert statements.groups == [[1], [2]]
    statements.through.set()
    assert (await first, await second) == (2, 4)


async def test_tenants_share_no_statement() -> None:
    statements = Statements()
    statements.through.set()
    groups = StatementGroups(statements.run)
    results = await asyncio.gather(*(groups.submit(tenant, n) for tenant, n in ((ADA, 1), (BOB, 2))))
    assert results == [2, 4]
    assert statements.groups == [[1], [2]]


async def test_a_group_has_a_limit() -> None:
    statements = Statements()
    statements.through.set()
    groups = StatementGroups(statements.run)
    count = MAX_GROUP_SIZE + 1
    assert await asyncio.gather(*(groups.submit(ADA, n) for n in range(count))) == [2 * n for n in range(count)]
    assert [len(group) for group in statements.groups] == [MAX_GROUP_SIZE, 1]


async def test_an_error_is_raised_only_for_the_item_that_causes_it() -> None:
    statements = Statements()
    statements.through.set()
    groups = StatementGroups(statements.run)
    results = await asyncio.gather(*(groups.submit(ADA, n) for n in (1, -1, 2)), return_exceptions=True)
    assert [results[0], results[2]] == [2, 4]
    assert isinstance(results[1], ValueError)
    assert statements.groups == [[1, -1, 2], [1], [-1], [2]]


async def test_an_outage_is_raised_for_the_whole_group_and_nothing_is_repeated() -> None:
    statements = Statements()
    statements.through.set()
    statements.error = ConnectionResetError()
    groups = StatementGroups(statements.run)
    results = await asyncio.gather(*(groups.submit(ADA, n) for n in (1, -1)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionResetError] * 2
    assert statements.groups == [[1, -1]]


async def test_a_canceled_call_takes_nothing_from_the_others() -> None:
    statements = Statements()
    groups = StatementGroups(statements.run)
    canceled, other = (asyncio.create_task(groups.submit(ADA, n)) for n in (1, 2))
    await _until_running(statements, 1)
    canceled.cancel()
    statements.through.set()
    assert await other == 4
    with pytest.raises(asyncio.CancelledError):
        await canceled


async def _until_running(statements: Statements, count: int) -> None:
    async def running() -> int:
        return len(statements.groups)

    await eventually(running, lambda seen: seen >= count)


def _waiting(groups: StatementGroups[int, int]) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return len(groups._tenants[ADA].items)

    return count
