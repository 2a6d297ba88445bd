"""Skipped time: Postgres, this process and every open workflow move ahead together, from one moment at which something
is due to the next; in between everything that was due happens, in real time."""

from collections.abc import Callable
from datetime import datetime, timedelta

from domain.clock import now, set_ahead
from testing.polling import eventually
from testing.rows import Rows
from testing.workflows import Workflows

SETTLES_WITHIN = 60.0
# What is due so soon after something else is one moment with it: otherwise many sends would be as many skips.
TOGETHER = timedelta(seconds=1)


class NothingWaits(Exception):
    """There is no moment to skip to."""


class Clock:
    """For one tenant's notifications. `wake` tells loops of this process that time has passed."""

    def __init__(self, rows: Rows, workflows: Workflows, wake: Callable[[], None]) -> None:
        self._rows = rows
        self._workflows = workflows
        self._wake = wake

    async def reset(self) -> None:
        """Back to the machine's time. What this tenant leaves behind is followed no more."""
        self._workflows.open.clear()
        await self._set(timedelta())

    async def settle(self) -> None:
        """Until nothing happens any more but by the passing of time."""
        await eventually(self._busy, lambda reasons: not reasons, SETTLES_WITHIN)

    async def advance(self, by: timedelta) -> None:
        await self.settle()
        target = now() + by
        while (due := await self._next()) is not None and due < target:
            await self._move(due)
        await self._move(target)

    async def skip(self) -> timedelta:
        """To the next moment at which something is due; how far that was."""
        await self.settle()
        due = await self._next()
        if due is None:
            raise NothingWaits("nothing waits for a later moment")
        skipped = max(due - now(), timedelta())
        await self._move(due)
        return skipped

    async def _move(self, to: datetime) -> None:
        with self._workflows.signals_held():
            await self._set(self._workflows.ahead + max(to - now(), timedelta()))
            await self._workflows.catch_up()
        await self._rows.wake()
        self._wake()
        for notification_type in await self._rows.to_tick():
            await self._workflows.tick(self._rows.tenant, notification_type)
        await self.settle()

    async def _set(self, ahead: timedelta) -> None:
        self._workflows.ahead = ahead
        set_ahead(ahead)
        await self._rows.set_ahead(ahead)

    async def _next(self) -> datetime | None:
        moments = await self._workflows.moments()
        due = [timer for moment in moments.values() for timer in moment.timers]
        if reports_at := await self._rows.next_due():
            due.append(reports_at)
        return max((at for at in due if at < min(due) + TOGETHER), default=None)

    async def _busy(self) -> list[str]:
        """Nothing is, if workflows stand as they stood before the rows were looked at. Rows first: they cost less."""
        if reasons := await self._rows.busy():
            return reasons
        before = await self._workflows.moments()
        if working := [f"{id} is at work" for id, moment in before.items() if moment.busy(now())]:
            return working
        if reasons := await self._rows.busy():
            return reasons
        after = await self._workflows.moments()
        return [] if before == after else ["workflows have just moved"]
