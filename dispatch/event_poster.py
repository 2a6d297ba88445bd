"""Post status events to the tenants' endpoints, with retries by the schedule. Runs in the API process; several may
run.

Each post is a task: a slow endpoint uses only its own slots.
"""

import asyncio
import random

import structlog

from dispatch.background_loops import Loop
from dispatch.event_requests import post_event
from domain.clock import now
from domain.event_webhooks import retry_delay
from models.event_webhooks import EventEndpoint
from providers.transport import Transport
from storage import event_endpoints, event_outbox
from storage.database import Database
from storage.event_outbox import ConcurrencyLimits, DuePost, PostResult

log = structlog.get_logger(__name__)

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
PRUNE_INTERVAL = 60.0


class EventPoster:
    """Post events. `transport` goes to addresses that tenants choose."""

    def __init__(self, database: Database, transport: Transport, room: ConcurrencyLimits | None = None) -> None:
        self._database = database
        self._transport = transport
        self._limits = room or ConcurrencyLimits()
        self._in_flight: dict[asyncio.Task[None], DuePost] = {}
        self._loop = Loop("event posts", self.post_due)
        self._prune_loop = Loop("event pruning", self.prune)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        """Run until cancelled. Posts in progress are repeated with the same id after their lease ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._loop.run())
                tasks.create_task(self._prune_loop.run())
        finally:
            for task in self._in_flight:
                task.cancel()
            await self.drain()

    async def drain(self) -> None:
        """Wait until the posts in progress have ended."""
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def post_due(self) -> float:
        """Start the due posts that have a free slot. Each finished post triggers another poll."""
        async with self._database.statement() as session:
            seconds = await event_outbox.seconds_to_next(session)
        if seconds is None or seconds > 0:
            return POLL_INTERVAL if seconds is None else min(POLL_INTERVAL, seconds)
        if len(self._in_flight) >= self._limits.max_total:
            return POLL_INTERVAL
        async with self._database.statement() as session:
            claimed = await event_outbox.claim_posts(session, self._limits, self._in_flight.values())
        for post in claimed:
            task = asyncio.create_task(self._deliver(post))
            self._in_flight[task] = post
            task.add_done_callback(self._finish)
        return 0.0 if claimed else POLL_INTERVAL

    async def prune(self) -> float:
        async with self._database.transaction() as session:
            pruned = await event_outbox.prune(session)
        return PRUNE_INTERVAL if pruned == 0 else 0.0

    def _finish(self, task: asyncio.Task[None]) -> None:
        post = self._in_flight.pop(task)
        self._loop.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease ends, and it is posted again.
            log.warning("a post was not recorded", message=str(post.id), error=type(error).__name__)

    async def _deliver(self, post: DuePost) -> None:
        attempt = await self._attempt(post)
        if attempt.error is None:
            async with self._database.statement() as session:
                await event_outbox.record_delivered(session, post, attempt)
            return
        async with self._database.transaction() as session:
            pause = None if attempt.is_gone else retry_delay(post.attempt_count, random.random(), attempt.retry_after)  # noqa: S311
            await event_outbox.record_failed(session, post, attempt, pause)
            disabled = await event_endpoints.record_failure(session, post.endpoint_id, is_gone=attempt.is_gone)
        if disabled is not None:
            _log_disabled(disabled)

    async def _attempt(self, post: DuePost) -> PostResult:
        """Post once. Any error that a receiver or a URL causes in our code fails this post only."""
        if post.unreadable is not None:
            log.error("a post cannot be sent", message=str(post.id), reason=post.unreadable)
            return PostResult(at=now(), status=None, ms=0, error="not_decrypted")
        [attempt] = await asyncio.gather(post_event(self._transport, post), return_exceptions=True)
        if isinstance(attempt, PostResult):
            return attempt
        log.error("a post failed by an internal error", message=str(post.id), error=type(attempt).__name__)
        return PostResult(at=now(), status=None, ms=0, error="internal")


def _log_disabled(endpoint: EventEndpoint) -> None:
    log.error(
        "an event endpoint was disabled",
        endpoint=endpoint.key,
        tenant=str(endpoint.tenant),
        reason=endpoint.disabled_reason,
    )
