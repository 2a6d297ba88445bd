"""Hold a process at its start until an operator releases it, as after a restore. Called by worker and API."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from storage.connections import DATABASE_ERRORS, is_outage
from storage.database import Database
from storage.engine_state import StartHold, begin_hold, read_hold

log = structlog.get_logger(__name__)

POLL_INTERVAL = 1.0
LOG_INTERVAL = 60.0


async def hold_on_start(database: Database, name: str) -> None:
    """Begin the hold that the settings name; an empty name begins none."""
    if name:
        async with database.transaction() as session:
            await begin_hold(session, name)


async def wait_for_release(database: Database) -> None:
    """Return immediately if no hold is in force. A hold that another process began counts too."""
    logged_at = None
    while (hold := await _active_hold(database)) is not None:
        if logged_at is None or time.monotonic() - logged_at >= LOG_INTERVAL:
            logged_at = time.monotonic()
            log.warning(
                "everything is held until an operator releases it with 'tocsin hold release'",
                hold=hold.name,
                since=hold.since.isoformat(),
            )
        await asyncio.sleep(POLL_INTERVAL)
    if logged_at is not None:
        log.info("the hold was released")


async def run_after_release(database: Database, work: Callable[[], Awaitable[None]]) -> None:
    await wait_for_release(database)
    await work()


async def _active_hold(database: Database) -> StartHold | None:
    while True:
        try:
            async with database.transaction() as session:
                hold = await read_hold(session)
        except DATABASE_ERRORS as error:
            if not is_outage(error):
                raise
            await asyncio.sleep(POLL_INTERVAL)
        else:
            return hold if hold is not None and hold.in_force else None
