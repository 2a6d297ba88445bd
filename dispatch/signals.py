"""Tells waiting workflows what the rows know: a cancel, evidence that came, a delivery that nothing holds any more.

Run by the dispatcher that leads. Rows say who is to be told, so that no signal is lost with a process.
"""

from dispatch.pacing import Pace
from dispatch.starter import AT_ONCE, Starter
from storage import dispatching, holds
from storage.database import Database

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay


class Signals:
    """`resume_rate` is how many held deliveries go on per second, the most urgent first; 0 is no limit."""

    def __init__(self, database: Database, starter: Starter, resume_rate: float) -> None:
        self._database = database
        self._starter = starter
        self._pace = Pace(resume_rate)

    async def cancels(self) -> float:
        async with self._database.transaction() as session:
            cancels = await dispatching.unsignaled_cancels(session, AT_ONCE)
        for notification_id, _, generation in cancels:
            await self._starter.signal_cancel(notification_id, generation)
        if cancels:
            async with self._database.transaction() as session:
                await dispatching.mark_signaled(session, [notification_id for notification_id, *_ in cancels])
        return LOOK_AGAIN if len(cancels) < AT_ONCE else 0.0

    async def evidence(self) -> float:
        """A row that was written to again in between stays due."""
        async with self._database.transaction() as session:
            due = await dispatching.evidence_due(session, AT_ONCE)
        for notification in due:
            await self._starter.signal_evidence(notification.id, notification.generation)
        if due:
            async with self._database.transaction() as session:
                await dispatching.evidence_told(session, due)
        return LOOK_AGAIN if len(due) < AT_ONCE else 0.0

    async def releases(self) -> float:
        allowed = self._pace.allowance(AT_ONCE)
        if not allowed:
            return self._pace.seconds_to_next()
        async with self._database.transaction() as session:
            released = await holds.claim_released(session, allowed)
        self._pace.spend(len(released))
        for each in released:
            await self._starter.signal_release(each.notification_id, each.generation)
        if released:
            async with self._database.transaction() as session:
                await holds.forget(session, released)
        return LOOK_AGAIN if len(released) < allowed else self._pace.seconds_to_next()
