"""Tells waiting workflows what the rows know: a cancel, or evidence that came; makes due what nothing holds any more.

Run by the dispatcher that leads. Rows say who is to be told, so that no signal is lost with a process.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from temporalio.service import RPCError

from dispatch.pacing import Pace
from dispatch.starter import Starter
from storage import dispatching, releases
from storage.database import Database

Due = TypeVar("Due")
log = structlog.get_logger(__name__)

AT_ONCE = 16
RELEASED_AT_ONCE = 200
LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
# What is held is looked at row by row; a resume and a circuit that moves say so by themselves.
LOOK_AT_HELD_AGAIN = 10.0


class Signals:
    """`resume_rate` is how many held deliveries go on per second, the most urgent first; 0 is no limit."""

    def __init__(self, database: Database, starter: Starter, resume_rate: float) -> None:
        self._database = database
        self._starter = starter
        self._pace = Pace(resume_rate)

    async def cancels(self) -> float:
        async with self._database.statement() as session:
            due = await dispatching.unsignaled_cancels(session, AT_ONCE)
        told = await self._told(due, lambda one: self._starter.signal_cancel(one[0], one[2]))
        if told:
            async with self._database.statement() as session:
                await dispatching.mark_signaled(session, told)
        return LOOK_AGAIN if len(told) < AT_ONCE else 0.0

    async def evidence(self) -> float:
        """A row that was written to again in between stays due."""
        async with self._database.statement() as session:
            due = await dispatching.evidence_due(session, AT_ONCE)
        told = await self._told(due, lambda one: self._starter.signal_evidence(one.id, one.generation))
        if told:
            async with self._database.statement() as session:
                await dispatching.evidence_told(session, told)
        return LOOK_AGAIN if len(told) < AT_ONCE else 0.0

    async def releases(self) -> float:
        """Held deliveries that may go on become due; worker processes then claim them like any other."""
        allowed = self._pace.allowance(RELEASED_AT_ONCE)
        if not allowed:
            return self._pace.seconds_to_next()
        async with self._database.quick_transaction() as session:
            released = await releases.release(session, allowed)
        self._pace.spend(released)
        if released == allowed:
            return self._pace.seconds_to_next()
        return LOOK_AT_HELD_AGAIN

    async def _told(self, due: Sequence[Due], signal: Callable[[Due], Awaitable[None]]) -> list[Due]:
        """Those that Temporal took, in their order; the others stay due, and one that it never takes stops nobody."""
        told = []
        for one in due:
            try:
                await signal(one)
                told.append(one)
            except RPCError as error:
                log.warning("Temporal did not take a signal", status=error.status.name)
        return told
