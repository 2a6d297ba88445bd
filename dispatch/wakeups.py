"""One Postgres session, outside the pool: it listens for NOTIFY, and may renew the lease of the leader.

The renewal also proves that the session is alive. Outside the pool, it waits for no other work of this process.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from dispatch.leases import Lease
from dispatch.loops import coalesced, report
from domain.names import EVENTS_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL
from storage.database import Database
from storage.notify import notify_dispatchers
from storage.outages import DATABASE_ERRORS, without_outages
from storage.statements import QuickSession

CONNECT_AGAIN = 0.5  # seconds
ANSWERS_WITHIN = 3.0  # seconds after which a session that does not answer is replaced
RELEASED_WITHIN = 1.0
PROVE_EVERY = 5.0


class Wakeups:
    """`on_notify` by channel, called with the payload; with "" when something may not have been heard. `leading`: this
    process holds the lease, and alone does what needs one process. An API process has none."""

    def __init__(
        self, database: Database, on_notify: Mapping[str, Callable[[str], None]], lease: Lease | None = None
    ) -> None:
        self._database = database
        self._on_notify = on_notify
        self._lease = lease

    @property
    def leading(self) -> bool:
        return self._lease is not None and self._lease.is_held

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except DATABASE_ERRORS as error:
                report("wakeups", error)
            await asyncio.sleep(CONNECT_AGAIN)  # a server that is down answers no sooner for being asked at once

    async def _listen(self) -> None:
        connection = await self._database.dedicated()
        session, lost = QuickSession(connection), asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel in self._on_notify:
                await connection.add_listener(channel, self._heard)
            # What was announced while this process did not listen is not repeated.
            self._notify_all()
            while not lost.is_set():
                await self._prove(session)
                await _happens(lost, PROVE_EVERY if self._lease is None else self._lease.interval)
        except asyncio.CancelledError:
            await self._release(session)
            raise
        finally:
            connection.terminate()

    async def _prove(self, session: QuickSession) -> None:
        """That the session is alive: by a renewal where there is a lease."""
        async with asyncio.timeout(ANSWERS_WITHIN):
            if self._lease is None:
                await notify_dispatchers(session, [])
            elif await self._lease.take(session):
                self._notify_all()  # it begins to lead, and has not done the duties until now

    async def _release(self, session: QuickSession) -> None:
        """At shutdown, so that another process leads at once."""
        if self._lease is None:
            return
        with without_outages():
            async with asyncio.timeout(RELEASED_WITHIN):
                await self._lease.release(session)

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._on_notify[channel](str(payload))

    def _notify_all(self) -> None:
        for callback in self._on_notify.values():
            callback("")


def listener_of(
    database: Database, on_flush: Callable[[], None], on_sandbox: Callable[[], None], on_events: Callable[[], None]
) -> Wakeups:
    """The one of an API process, which has no part in dispatching."""
    on_notify: dict[str, Callable[[str], None]] = {
        FLUSH_CHANNEL: lambda _: on_flush(),
        SANDBOX_CHANNEL: lambda _: on_sandbox(),
        EVENTS_CHANNEL: lambda _: on_events(),
    }
    return Wakeups(database, on_notify)


async def _happens(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(coalesced(seconds, time.monotonic())):
            await event.wait()
