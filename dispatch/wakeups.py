"""One Postgres session per process, outside the pool: it listens for NOTIFY and renews the lease of the leader.

The renewal also proves that the session is alive. Outside the pool, it waits for no other work of this process.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from dispatch.leases import Lease
from dispatch.loops import coalesced
from domain.names import DISPATCH_CHANNEL, EVENTS_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL
from storage.database import DATABASE_DOWN, Database
from storage.statements import QuickSession

log = structlog.get_logger(__name__)

CHANNELS = (DISPATCH_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL, EVENTS_CHANNEL)
CONNECT_AGAIN = 0.5  # seconds
ANSWERS_WITHIN = 3.0  # seconds after which a session that does not answer is replaced
RELEASED_WITHIN = 1.0


class Wakeups:
    """`leading` is True while this process holds the lease: it alone does what needs one process."""

    def __init__(self, database: Database, on_notify: Callable[[str, str], None], lease: Lease) -> None:
        self._database = database
        self._on_notify = on_notify
        self._lease = lease

    @property
    def leading(self) -> bool:
        return self._lease.is_held

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except DATABASE_DOWN as error:
                log.warning("listening interrupted", error=type(error).__name__)
            await asyncio.sleep(CONNECT_AGAIN)  # a server that is down answers no sooner for being asked at once

    async def _listen(self) -> None:
        connection = await self._database.dedicated()
        session, lost = QuickSession(connection), asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel in CHANNELS:
                await connection.add_listener(channel, self._heard)
            # What was announced while this process did not listen is not repeated.
            for channel in CHANNELS:
                self._on_notify(channel, "")
            while not lost.is_set():
                await self._renew(session)
                await _happens(lost, self._lease.interval)
        except asyncio.CancelledError:
            await self._release(session)
            raise
        finally:
            connection.terminate()

    async def _renew(self, session: QuickSession) -> None:
        async with asyncio.timeout(ANSWERS_WITHIN):
            began_to_lead = await self._lease.take(session)
        if began_to_lead:
            self._on_notify(DISPATCH_CHANNEL, "")

    async def _release(self, session: QuickSession) -> None:
        """At shutdown, so that another process leads at once."""
        with suppress(*DATABASE_DOWN):
            async with asyncio.timeout(RELEASED_WITHIN):
                await self._lease.release(session)

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._on_notify(channel, str(payload))


async def _happens(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(coalesced(seconds, time.monotonic())):
            await event.wait()
