"""Whether a database error is an outage, to be waited out, or a bug of ours, to be shown."""

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.database import DATABASE_DOWN, Database

# What a handler registers for; `is_outage` then decides. While it connects, asyncpg's errors come unwrapped.
DATABASE_ERRORS: tuple[type[Exception], ...] = (*DATABASE_DOWN, PoolTimeout, asyncpg.PostgresError)

# Classes of SQLSTATE: connection, rolled back (deadlock), out of resources, operator, system; then single codes:
# a read-only server (failover), a lock that was not free in time, and a transaction that the server has ended because
# this process stood still within it.
OUTAGE_CLASSES = ("08", "40", "53", "57", "58")
OUTAGE_CODES = {"25006", "25P03", "55P03"}


def is_outage(error: BaseException) -> bool:
    """A broken constraint or statement is a bug; a lost, starting, read-only or overloaded server is an outage."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and _speaks_of_outage(error.orig))
    return isinstance(error, DATABASE_ERRORS) and _speaks_of_outage(error)


def _speaks_of_outage(error: BaseException) -> bool:
    """Without a code it was not the server that answered: a reset, a time-out, asyncpg's own InterfaceError."""
    code = str(getattr(error, "sqlstate", None) or "")
    return not code or code.startswith(OUTAGE_CLASSES) or code in OUTAGE_CODES


async def ping(database: Database) -> None:
    """Raises one of DATABASE_ERRORS if Postgres does not answer."""
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))
