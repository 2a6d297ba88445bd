"""One Postgres session, outside the pool: it listens for NOTIFY and may hold the lock of the duties."""

import asyncio
from collections.abc import Callable, Mapping

import asyncpg
import structlog

from domain.names import EVENTS_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL
from storage.database import DATABASE_DOWN, Database

log = structlog.get_logger(__name__)

DISPATCHER_LOCK = 7_201_534
LOOK_AGAIN = 0.5  # seconds between tries for the lock, and to notice a lost session


class Wakeups:
    """`on_notify` by channel, called with the payload; "" at the start of a session, as what was announced before was
    not heard. `leading`: this process holds the lock, if it `may_lead`. Lost with the session."""

    def __init__(
        self, database: Database, on_notify: Mapping[str, Callable[[str], None]], *, may_lead: bool = True
    ) -> None:
        self._database = database
        self._on_notify = on_notify
        self._may_lead = may_lead
        self._connection: asyncpg.Connection | None = None
        self._locked = False

    @property
    def leading(self) -> bool:
        return self._locked and self._connection is not None and not self._connection.is_closed()

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except DATABASE_DOWN as error:
                log.warning("listening interrupted", error=type(error).__name__)
            finally:
                self._locked = False
            await asyncio.sleep(LOOK_AGAIN)  # a server that is down answers no sooner for being asked at once

    async def _listen(self) -> None:
        self._connection = connection = await self._database.dedicated()
        try:
            for channel in self._on_notify:
                await connection.add_listener(channel, self._heard)
            self._notify_all()
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            while not await _happens(lost, LOOK_AGAIN):
                if self._may_lead and not self._locked:
                    self._locked = await connection.fetchval("SELECT pg_try_advisory_lock($1)", DISPATCHER_LOCK)
                    if self._locked:
                        self._notify_all()
        finally:
            connection.terminate()

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._on_notify[channel](str(payload))

    def _notify_all(self) -> None:
        for callback in self._on_notify.values():
            callback("")


def listener_of(
    database: Database, on_flush: Callable[[], None], on_sandbox: Callable[[], None], on_events: Callable[[], None]
) -> Wakeups:
    """The one of an API process, which has no part in dispatching."""
    on_notify = {
        FLUSH_CHANNEL: lambda _: on_flush(),
        SANDBOX_CHANNEL: lambda _: on_sandbox(),
        EVENTS_CHANNEL: lambda _: on_events(),
    }
    return Wakeups(database, on_notify, may_lead=False)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
