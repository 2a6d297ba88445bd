"""Test that background work survives outages, backs off after refusals, and ends with a bug."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import httpx2
import pytest
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode

from dispatch.background_loops import TIMER_SLACK, Loop, align_wait
from domain.stored_enums import UnknownValue
from metrics.registry import REGISTRY
from storage.encryption import DecryptionError
from tests.polling import eventually


class CountedStep:
    """Raise these errors in order, then count the runs."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.runs = 0

    async def __call__(self) -> float:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)
        return 3_600.0


async def run_until(loop: Loop, is_over: Callable[[], bool]) -> None:
    """Run without the pauses."""
    task = asyncio.create_task(loop.run())

    async def woken() -> bool:
        loop.wake()
        return is_over() or task.done()

    await eventually(woken, bool)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ConnectionResetError(), "warning"),
        (asyncpg.AdminShutdownError("going down"), "warning"),
        (httpx2.ConnectError("refused"), "warning"),
        (RPCError("away", RPCStatusCode.UNAVAILABLE, b""), "warning"),
        (asyncpg.UniqueViolationError("ada@example.com"), "error"),
        (asyncpg.UndefinedColumnError("no column"), "error"),
        (RPCError("bad", RPCStatusCode.INVALID_ARGUMENT, b""), "error"),
        (UnknownValue("unknown Channel"), "error"),
        (DecryptionError("a contact needs the key 'k1'"), "error"),
    ],
)
async def test_an_error_that_background_work_outlives_is_in_the_log(error: Exception, level: str) -> None:
    step = CountedStep(error)
    with capture_logs() as logs:
        await run_until(Loop("work", step), lambda: step.runs > 1)
    [entry] = logs
    assert (entry["log_level"], entry["loop"], entry["error"]) == (level, "work", type(error).__name__)
    assert "ada@example.com" not in str(entry)


async def test_a_refused_step_is_retried_with_growing_delays() -> None:
    loop = Loop("work", CountedStep(*(asyncpg.UniqueViolationError("x") for _ in range(8)), ConnectionResetError()))
    assert [await loop._run_step() for _ in range(10)] == [2, 4, 8, 16, 32, 60, 60, 60, 1, 3_600]


def test_a_loop_shows_no_bugs_before_the_first_one() -> None:
    Loop("new work", CountedStep())
    labels = {"loop": "new work", "cause": "bug"}
    assert REGISTRY.get_sample_value("tocsin_background_failures_total", labels) == 0


async def test_a_bug_ends_the_loop() -> None:
    step = CountedStep(TypeError("bug"))
    with pytest.raises(TypeError):
        await run_until(Loop("work", step), lambda: step.runs > 1)


@pytest.mark.parametrize("now", [100.0, 100.001, 100.3, 100.96, 100.9999])
@pytest.mark.parametrize("seconds", [1.0, 2.0, 2.7, 60.0])
def test_long_waits_end_at_a_whole_second_and_hardly_later(now: float, seconds: float) -> None:
    wait = align_wait(seconds, now)
    assert (now + wait) % 1 == pytest.approx(0, abs=1e-6)
    assert seconds - 1 <= wait <= seconds + TIMER_SLACK
    assert wait > 0


def test_short_waits_stay_as_they_are() -> None:
    assert align_wait(0.3, 100.9) == 0.3
    assert align_wait(0.0, 100.9) == 0.0
