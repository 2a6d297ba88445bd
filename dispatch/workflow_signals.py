"""Signal waiting workflows about a cancel or new evidence, and release deliveries that nothing holds any more.

Run by the leader. The rows list the workflows to signal, so that no signal is lost with a process.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from temporalio.service import RPCError

from dispatch.token_bucket import TokenBucket
from dispatch.workflow_starter import WorkflowStarter
from storage import claims, holds
from storage.database import Database

Due = TypeVar("Due")
log = structlog.get_logger(__name__)

BATCH_SIZE = 16
RELEASE_BATCH_SIZE = 200
POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
# Held deliveries are checked row by row; a resume and a change of a circuit notify by themselves.
HELD_POLL_INTERVAL = 10.0


class WorkflowSignalTasks:
    """Signal and release. `resume_rate` is how many held deliveries are released per second by priority; 0 is no
    limit."""

    def __init__(self, database: Database, starter: WorkflowStarter, resume_rate: float) -> None:
        self._database = database
        self._starter = starter
        self._release_bucket = TokenBucket(resume_rate)

    async def send_cancel_signals(self) -> float:
        async with self._database.statement() as session:
            due = await claims.list_unsignaled_cancels(session, BATCH_SIZE)
        signaled = await self._signal_all(due, lambda one: self._starter.signal_cancel(one[0], one[2]))
        if signaled:
            async with self._database.statement() as session:
                await claims.mark_cancels_signaled(session, signaled)
        return POLL_INTERVAL if len(signaled) < BATCH_SIZE else 0.0

    async def send_evidence_signals(self) -> float:
        """Send the signals. A row that was written again in between stays due."""
        async with self._database.statement() as session:
            due = await claims.list_unsignaled_evidence(session, BATCH_SIZE)
        signaled = await self._signal_all(due, lambda one: self._starter.signal_evidence(one.id, one.generation))
        if signaled:
            async with self._database.statement() as session:
                await claims.mark_evidence_signaled(session, signaled)
        return POLL_INTERVAL if len(signaled) < BATCH_SIZE else 0.0

    async def release_held(self) -> float:
        """Make held deliveries due; worker processes then claim them like any other."""
        allowed = self._release_bucket.available(RELEASE_BATCH_SIZE)
        if not allowed:
            return self._release_bucket.seconds_to_next()
        async with self._database.quick_transaction() as session:
            released = await holds.release_held(session, allowed)
        self._release_bucket.spend(released)
        if released == allowed:
            return self._release_bucket.seconds_to_next()
        return HELD_POLL_INTERVAL

    async def _signal_all(self, due: Sequence[Due], signal: Callable[[Due], Awaitable[None]]) -> list[Due]:
        """Return the rows whose signal Temporal accepted, in order. The others stay due and block no other row."""
        signaled = []
        for one in due:
            try:
                await signal(one)
                signaled.append(one)
            except RPCError as error:
                log.warning("Temporal refused a signal", status=error.status.name)
        return signaled
