"""Tells waiting workflows what the rows know: a cancel, or evidence that came; makes due what nothing holds any more.

Run by the dispatcher that leads. Rows say who is to be told, so that no signal is lost with a process.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from temporalio.service import RPCError

from dispatch.starter import WorkflowStarter
from dispatch.token_bucket import TokenBucket
from storage import releases, workflow_signals
from storage.database import Database

Due = TypeVar("Due")
log = structlog.get_logger(__name__)

BATCH_SIZE = 16
RELEASE_BATCH_SIZE = 200
POLL_INTERVAL = 2.0  # seconds: what a lost NOTIFY can delay
# What is held is looked at row by row; a resume and a circuit that moves say so by themselves.
HELD_POLL_INTERVAL = 10.0


class SignalTasks:
    """`resume_rate` is how many held deliveries go on per second, the most urgent first; 0 is no limit."""

    def __init__(self, database: Database, starter: WorkflowStarter, resume_rate: float) -> None:
        self._database = database
        self._starter = starter
        self._release_bucket = TokenBucket(resume_rate)

    async def send_cancel_signals(self) -> float:
        async with self._database.statement() as session:
            due = await workflow_signals.list_unsignaled_cancels(session, BATCH_SIZE)
        signaled = await self._signal_all(due, lambda one: self._starter.signal_cancel(one[0], one[2]))
        if signaled:
            async with self._database.statement() as session:
                await workflow_signals.mark_cancels_signaled(session, signaled)
        return POLL_INTERVAL if len(signaled) < BATCH_SIZE else 0.0

    async def send_evidence_signals(self) -> float:
        """A row that was written to again in between stays due."""
        async with self._database.statement() as session:
            due = await workflow_signals.list_unsignaled_evidence(session, BATCH_SIZE)
        signaled = await self._signal_all(due, lambda one: self._starter.signal_evidence(one.id, one.generation))
        if signaled:
            async with self._database.statement() as session:
                await workflow_signals.mark_evidence_signaled(session, signaled)
        return POLL_INTERVAL if len(signaled) < BATCH_SIZE else 0.0

    async def releases(self) -> float:
        """Held deliveries that may go on become due; worker processes then claim them like any other."""
        allowed = self._release_bucket.available(RELEASE_BATCH_SIZE)
        if not allowed:
            return self._release_bucket.seconds_to_next()
        async with self._database.quick_transaction() as session:
            released = await releases.release_held(session, allowed)
        self._release_bucket.spend(released)
        if released == allowed:
            return self._release_bucket.seconds_to_next()
        return HELD_POLL_INTERVAL

    async def _signal_all(self, due: Sequence[Due], signal: Callable[[Due], Awaitable[None]]) -> list[Due]:
        """Those that Temporal took, in their order; the others stay due, and one that it never takes stops nobody."""
        signaled = []
        for one in due:
            try:
                await signal(one)
                signaled.append(one)
            except RPCError as error:
                log.warning("Temporal did not take a signal", status=error.status.name)
        return signaled
