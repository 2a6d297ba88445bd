"""Hold one Postgres session outside the pool, which listens for NOTIFY and may renew the leader's lease.

The renewal also proves that the session is alive. Outside the pool, it waits for no other work of this process.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from dispatch.background_loops import align_wait, report_failure
from dispatch.leases import ProcessLease
from domain.names import DISPATCH_CHANNEL, EVENTS_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL
from storage.connections import DATABASE_ERRORS, suppress_outages
from storage.database import Database
from storage.statements import QuickSession, notify

RECONNECT_DELAY = 0.5  # seconds
RESPONSE_TIMEOUT = 3.0  # seconds after which a session without a response is replaced
RELEASE_TIMEOUT = 1.0
KEEPALIVE_INTERVAL = 5.0


class NotifyListener:
    """Call `on_notify` by channel with the payload, or with "" if a notification may be lost. `is_leader`: this
    process holds the lease and alone runs the leader tasks. An API process has no lease."""

    def __init__(
        self, database: Database, on_notify: Mapping[str, Callable[[str], None]], lease: ProcessLease | None = None
    ) -> None:
        self._database = database
        self._on_notify = on_notify
        self._lease = lease

    @property
    def is_leader(self) -> bool:
        return self._lease is not None and self._lease.is_held

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except DATABASE_ERRORS as error:
                report_failure("wakeups", error)
            await asyncio.sleep(RECONNECT_DELAY)  # delay before another connection attempt while the server is down

    async def _listen(self) -> None:
        connection = await self._database.dedicated()
        session, lost = QuickSession(connection), asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel in self._on_notify:
                await connection.add_listener(channel, self._dispatch_notify)
            # Notifications that were sent while this process did not listen are not repeated.
            self._notify_all()
            while not lost.is_set():
                await self._keep_alive(session)
                await _wait_for(lost, KEEPALIVE_INTERVAL if self._lease is None else self._lease.renewal_interval)
        except asyncio.CancelledError:
            await self._release(session)
            raise
        finally:
            connection.terminate()

    async def _keep_alive(self, session: QuickSession) -> None:
        """Check that the session is alive, by a renewal if there is a lease."""
        async with asyncio.timeout(RESPONSE_TIMEOUT):
            if self._lease is None:
                await _ping(session)
            elif await self._lease.acquire(session):
                self._notify_all()  # a new leader has not run the tasks until now

    async def _release(self, session: QuickSession) -> None:
        """Release the lease at shutdown, so that another process leads immediately."""
        if self._lease is None:
            return
        with suppress_outages():
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._lease.release(session)

    def _dispatch_notify(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._on_notify[channel](str(payload))

    def _notify_all(self) -> None:
        for callback in self._on_notify.values():
            callback("")


def build_api_listener(
    database: Database, on_flush: Callable[[], None], on_sandbox: Callable[[], None], on_events: Callable[[], None]
) -> NotifyListener:
    """Build the listener of an API process, which dispatches nothing."""
    on_notify: dict[str, Callable[[str], None]] = {
        FLUSH_CHANNEL: lambda _: on_flush(),
        SANDBOX_CHANNEL: lambda _: on_sandbox(),
        EVENTS_CHANNEL: lambda _: on_events(),
    }
    return NotifyListener(database, on_notify)


async def _ping(session: QuickSession) -> None:
    """Run a statement that notifies no listener."""
    await notify(session, DISPATCH_CHANNEL, [])


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(align_wait(seconds, time.monotonic())):
            await event.wait()
