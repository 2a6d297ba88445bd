"""Posts status events to the tenants' endpoints, and again by the schedule. Runs in the API process; several may.

Posts are tasks of their own: a slow endpoint keeps its own places busy and nobody else's.
"""

import asyncio
import random

import structlog

from dispatch.event_calls import call
from dispatch.loops import Loop
from domain.clock import now
from domain.event_webhooks import pause_after
from models.event_webhooks import EventEndpoint
from providers.transport import Transport
from storage import event_endpoints, event_posting, event_retention
from storage.database import Database
from storage.event_posting import Call, DuePost, Room

log = structlog.get_logger(__name__)

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
TIDY_EVERY = 60.0


class EventPosts:
    """`transport` goes to addresses that tenants choose."""

    def __init__(self, database: Database, transport: Transport, room: Room | None = None) -> None:
        self._database = database
        self._transport = transport
        self._room = room or Room()
        self._flying: dict[asyncio.Task[None], DuePost] = {}
        self._loop = Loop("event posts", self.post_due)
        self._tidying = Loop("event tidying", self.tidy)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        """Until cancelled. What is under way then is posted again when its lease ends, with the same id."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._loop.run())
                tasks.create_task(self._tidying.run())
        finally:
            for flight in self._flying:
                flight.cancel()
            await self.landed()

    async def landed(self) -> None:
        """As soon as nothing that is under way now is any more."""
        await asyncio.gather(*self._flying, return_exceptions=True)

    async def post_due(self) -> float:
        """Starts what is due and has room; whatever lands looks again."""
        async with self._database.statement() as session:
            seconds = await event_posting.seconds_to_next(session)
        if seconds is None or seconds > 0:
            return LOOK_AGAIN if seconds is None else min(LOOK_AGAIN, seconds)
        if len(self._flying) >= self._room.in_all:
            return LOOK_AGAIN
        async with self._database.statement() as session:
            claimed = await event_posting.claim(session, self._room, self._flying.values())
        for post in claimed:
            flight = asyncio.create_task(self._fly(post))
            self._flying[flight] = post
            flight.add_done_callback(self._land)
        return 0.0 if claimed else LOOK_AGAIN

    async def tidy(self) -> float:
        async with self._database.transaction() as session:
            tidied = await event_retention.tidy(session)
        return TIDY_EVERY if tidied == 0 else 0.0

    def _land(self, flight: asyncio.Task[None]) -> None:
        post = self._flying.pop(flight)
        self._loop.wake()
        if not flight.cancelled() and (error := flight.exception()) is not None:
            # Its lease ends, and it is posted again.
            log.warning("a post was not recorded", message=str(post.id), error=type(error).__name__)

    async def _fly(self, post: DuePost) -> None:
        called = await self._called(post)
        if called.error is None:
            async with self._database.statement() as session:
                await event_posting.record_delivered(session, post, called)
            return
        async with self._database.transaction() as session:
            pause = None if called.gone else pause_after(post.tries, random.random(), called.retry_after)  # noqa: S311
            await event_posting.record_failed(session, post, called, pause)
            disabled = await event_endpoints.note_failure(session, post.endpoint_id, gone=called.gone)
        if disabled is not None:
            _say_disabled(disabled)

    async def _called(self, post: DuePost) -> Call:
        """Whatever a receiver or a URL may break in us is a failure of this post, and of nothing else."""
        if post.unreadable is not None:
            log.error("a post cannot be made", message=str(post.id), reason=post.unreadable)
            return Call(at=now(), status=None, ms=0, error="not_decrypted")
        [called] = await asyncio.gather(call(self._transport, post), return_exceptions=True)
        if isinstance(called, Call):
            return called
        log.error("a post broke", message=str(post.id), error=type(called).__name__)
        return Call(at=now(), status=None, ms=0, error="internal")


def _say_disabled(endpoint: EventEndpoint) -> None:
    log.error(
        "an event endpoint was disabled",
        endpoint=endpoint.key,
        tenant=str(endpoint.tenant),
        reason=endpoint.disabled_reason,
    )
