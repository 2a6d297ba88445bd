"""Workers that die, stop or are told to stop, each at a moment that the books prove."""

import asyncio
from contextlib import AsyncExitStack

from tests.faults.acts.table import fault, outage
from tests.faults.crowd import Sent
from tests.faults.kinds import ASK_TEXT
from tests.faults.pace import lasting
from tests.faults.part import Part
from tests.faults.scene import Scene
from tests.faults.vendor.moods import Mood

TAKEN_OVER = "SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND reason = 'worker_lost'"
# So many of a burst are on their way at the same moment. Where the machine is slow the first have given up by the time
# that the last begin.
SOME = 0.25


async def killed(scene: Scene) -> None:
    await asyncio.gather(*(worker.kill() for worker in scene.servers.workers))


async def started(scene: Scene) -> None:
    await asyncio.gather(*(worker.start() for worker in scene.servers.workers))


async def texts(scene: Scene) -> list[Sent]:
    """Started at once, to people of whom nothing will be reported: only our own rows and a look-up can tell."""
    return await scene.crowd.burst(scene.scale.burst, ASK_TEXT, scene.dice.randrange(2), "silent", priority=1)


def some(sent: list[Sent]) -> int:
    return max(1, int(len(sent) * SOME))


def nothing_unknown(scene: Scene, name: str, sent: list[Sent]) -> None:
    async def unknown() -> list[str]:
        count = await scene.count(sent, "unknown")
        return [f"{count} unknown"] if count else []

    scene.checks[f"{name}: no outcome is unknown"] = unknown


@fault
async def killed_before_the_row(scene: Scene) -> None:
    """Workers killed with -9 while they wait to write the attempt: nobody was called, and nothing is unknown."""
    async with scene.books.locked("attempt"):
        sent = await texts(scene)
        await scene.books.waiting("attempt", some(sent))
        await killed(scene)
    await started(scene)
    nothing_unknown(scene, "killed_before_the_row", sent)


@fault
async def killed_after_the_row(scene: Scene) -> None:
    """Workers killed with -9 when the row is written and the vendor has not taken the message."""
    async with scene.desk.day(Mood.STALL, "twilio"):
        sent = await texts(scene)
        await scene.desk.holds("twilio", some(sent))
        await killed(scene)
    await started(scene)


@fault
async def killed_during_the_call(scene: Scene) -> None:
    """Workers killed with -9 while the vendor, which has the message, holds the answer."""
    async with scene.desk.day(Mood.HOLD, "twilio"):
        sent = await texts(scene)
        await scene.desk.holds("twilio", some(sent))
        await killed(scene)
    await started(scene)


@fault
async def killed_after_the_answer(scene: Scene) -> None:
    """Workers killed with -9 when the vendor has answered and our own row waits for its lock."""
    async with AsyncExitStack() as lifted:
        async with scene.desk.day(Mood.HOLD, "twilio"):
            sent = await texts(scene)
            await scene.desk.holds("twilio", some(sent))
            await lifted.enter_async_context(scene.books.locked("attempt"))
        await scene.books.waiting("attempt", some(sent))
        await killed(scene)
    await started(scene)


@fault
async def killed_after_our_commit(scene: Scene) -> None:
    """Workers killed with -9 when the outcome is committed and Temporal has not heard of it."""
    async with AsyncExitStack() as lifted:
        async with scene.desk.day(Mood.HOLD, "twilio"):
            sent = await texts(scene)
            await scene.desk.holds("twilio", some(sent))
            lifted.enter_context(scene.part("temporal").frozen())
        # Where the machine is slow, some calls have been given up before they were answered.
        await scene.reach(sent, some(sent), "accepted", "unknown")
        await killed(scene)
    await started(scene)


@fault
async def stopped_past_the_timeout(scene: Scene) -> None:
    """SIGSTOP of a worker in the middle of its calls, until another has taken over; then SIGCONT."""
    first, second = scene.servers.workers
    await second.stop()
    async with AsyncExitStack() as lifted:
        async with scene.desk.day(Mood.HOLD, "twilio"):
            sent = await texts(scene)
            await scene.desk.holds("twilio", some(sent))
            lifted.enter_context(first.frozen())
        await second.start()
        ids = [each.id for each in sent]
        await scene.books.until_true(lambda: _any(scene, ids), within=40)


async def _any(scene: Scene, ids: list[str]) -> bool:
    return bool(await scene.books.one(TAKEN_OVER, ids))


@fault
async def told_to_stop(scene: Scene) -> None:
    """SIGTERM of all workers under load: they finish their calls, and no outcome is unknown."""
    async with scene.desk.day(Mood.HOLD, "twilio"):
        sent = await texts(scene)
        await scene.desk.holds("twilio", some(sent))
        stopping = [asyncio.create_task(_stopped(worker)) for worker in scene.servers.workers]
        await lasting(0.3)
    codes = await asyncio.gather(*stopping)
    await started(scene)
    assert codes == [0, 0], f"exit codes {codes}"
    nothing_unknown(scene, "told_to_stop", sent)


async def _stopped(worker: Part) -> int | None:
    return await worker.stop()


@outage
async def all_workers_down(scene: Scene) -> None:
    """No worker for 20 s, minutes in the long run: everything is accepted meanwhile, and sent afterwards."""
    await killed(scene)
    sent = await texts(scene)
    await lasting(scene.scale.outage)
    assert await scene.count(sent, "accepted") == 0
    await started(scene)
