"""Skip time: move Postgres, this process and every open workflow together to the next moment at which something is due.

Between two moments everything that was due happens, in real time.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from domain.clock import now, set_offset
from testing.polling import eventually
from testing.rows import TenantRows
from testing.workflows import TrackedWorkflows

SETTLE_TIMEOUT = 60.0
# Work that is due so soon after other work belongs to the same moment: otherwise many sends would need as many skips.
MERGE_WINDOW = timedelta(seconds=1)


class NothingScheduled(Exception):
    """Signal that there is no moment to skip to."""


class TenantClock:
    """Move the clock of one tenant's notifications. `wake` notifies the loops of this process that time has passed."""

    def __init__(self, rows: TenantRows, workflows: TrackedWorkflows, on_skip: Callable[[], None]) -> None:
        self._rows = rows
        self._workflows = workflows
        self._on_skip = on_skip

    async def reset(self) -> None:
        """Return to the machine's time. The tenant's remaining work is no longer followed."""
        self._workflows.open_ids.clear()
        await self._set(timedelta())

    async def settle(self) -> None:
        """Wait until nothing more happens without the passing of time."""
        await eventually(self._find_busy_reasons, lambda reasons: not reasons, SETTLE_TIMEOUT)

    async def advance(self, by: timedelta) -> None:
        await self.settle()
        target = now() + by
        while (due := await self._find_next_due()) is not None and due < target:
            await self._move_to(due)
        await self._move_to(target)

    async def skip(self) -> timedelta:
        """Skip to the next moment at which something is due, and return the distance."""
        await self.settle()
        due = await self._find_next_due()
        if due is None:
            raise NothingScheduled("nothing waits for a later moment")
        skipped = max(due - now(), timedelta())
        await self._move_to(due)
        return skipped

    async def _move_to(self, to: datetime) -> None:
        with self._workflows.hold_signals():
            await self._set(self._workflows.ahead + max(to - now(), timedelta()))
            await self._workflows.advance_clocks()
        await self._rows.notify_listeners()
        self._on_skip()
        for notification_type in await self._rows.list_types_to_tick():
            await self._workflows.tick(self._rows.tenant, notification_type)
        await self.settle()

    async def _set(self, ahead: timedelta) -> None:
        self._workflows.ahead = ahead
        set_offset(ahead)
        await self._rows.set_ahead(ahead)

    async def _find_next_due(self) -> datetime | None:
        open_workflows = await self._workflows.read_progress()
        due = [timer for workflow in open_workflows.values() for timer in workflow.timers]
        if reports_at := await self._rows.find_next_due():
            due.append(reports_at)
        return max((at for at in due if at < min(due) + MERGE_WINDOW), default=None)

    async def _find_busy_reasons(self) -> list[str]:
        """Return what is busy: nothing, if workflows are as they were before the rows were read. Rows first: they cost
        less.
        """
        if reasons := await self._rows.find_busy_reasons():
            return reasons
        before = await self._workflows.read_progress()
        if busy_reasons := [f"{id} is busy" for id, workflow in before.items() if workflow.is_busy(now())]:
            return busy_reasons
        if reasons := await self._rows.find_busy_reasons():
            return reasons
        after = await self._workflows.read_progress()
        return [] if before == after else ["workflows have just made progress"]
