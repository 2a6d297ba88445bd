"""Test the bodies of unverified senders: how many are kept, and which are evicted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request

from api.limits.body_budget import BodyBudget
from api.problems import Problem

Part = dict[str, object]


class Sender:
    """A request whose body arrives in parts."""

    def __init__(self) -> None:
        self._parts = asyncio.Queue[Part]()
        receive: Callable[[], Awaitable[Part]] = self._parts.get
        self.request = Request({"type": "http", "headers": []}, receive)

    def send(self, body: bytes, *, more: bool = True) -> None:
        self._parts.put_nowait({"type": "http.request", "body": body, "more_body": more})


async def received(budget: BodyBudget, sender: Sender) -> int:
    """Return the length of the body, or the status of the refusal."""
    try:
        async with budget.read(sender.request, 1_000) as body:
            return len(body)
    except Problem as problem:
        return -problem.status


async def until_it_waits(task: asyncio.Task[int], budget: BodyBudget, size: int) -> None:
    while not task.done() and budget.bytes < size:
        await asyncio.wait({task}, timeout=0.01)


@pytest.mark.parametrize("budget", [BodyBudget(max_bodies=1), BodyBudget(max_bytes=10)], ids=["number", "bytes"])
async def test_the_oldest_incomplete_body_is_evicted_for_a_newer_one(budget: BodyBudget) -> None:
    slow, quick = Sender(), Sender()
    slow.send(b"12345678")
    first = asyncio.create_task(received(budget, slow))
    await until_it_waits(first, budget, 8)
    quick.send(b"abcdefgh", more=False)
    assert await received(budget, quick) == 8
    assert await first == -503
    assert budget.bytes == 0


async def test_a_complete_body_is_kept_and_a_newer_one_is_refused() -> None:
    budget, verified, newer = BodyBudget(max_bytes=10), Sender(), Sender()
    verified.send(b"12345678", more=False)
    newer.send(b"abcdefgh", more=False)
    async with budget.read(verified.request, 1_000):
        assert await received(budget, newer) == -503
        assert budget.bytes == 8
    assert budget.bytes == 0


async def test_a_body_that_is_too_large_is_not_held() -> None:
    budget, sender = BodyBudget(), Sender()
    sender.send(b"a" * 1_001)
    assert await received(budget, sender) == -413
    assert budget.bytes == 0
