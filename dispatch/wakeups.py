"""One Postgres session per process, outside the pool: it listens for NOTIFY and may hold the dispatcher's lock."""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from domain.names import DISPATCH_CHANNEL, EVENTS_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL
from storage.database import DATABASE_DOWN, Database

log = structlog.get_logger(__name__)

DISPATCHER_LOCK = 7_201_534
LOOK_AGAIN = 0.5  # seconds between tries for the lock, and to notice a lost session


class Wakeups:
    """`leading` is True while this process holds the lock: it alone dispatches. Lost with the session."""

    def __init__(self, database: Database, on_notify: Callable[[str, str], None]) -> None:
        self._database = database
        self._on_notify = on_notify
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
            for channel in (DISPATCH_CHANNEL, FLUSH_CHANNEL, SANDBOX_CHANNEL, EVENTS_CHANNEL):
                await connection.add_listener(channel, self._heard)
            # What was announced while nobody listened is not repeated.
            self._on_notify(FLUSH_CHANNEL, "")
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            while not await _happens(lost, LOOK_AGAIN):
                if not self._locked:
                    self._locked = await connection.fetchval("SELECT pg_try_advisory_lock($1)", DISPATCHER_LOCK)
                    self._on_notify(DISPATCH_CHANNEL, "")
        finally:
            connection.terminate()

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._on_notify(channel, str(payload))


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
