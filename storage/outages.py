"""Whether a database error is an outage, to be waited out, or an error that stays. The one definition of an outage."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.connections import DRIVER_ERRORS
from storage.database import Database

# What a handler registers for; `is_outage` then decides.
DATABASE_ERRORS: tuple[type[Exception], ...] = (DBAPIError, PoolTimeout, *DRIVER_ERRORS)

# Classes of SQLSTATE: connection, refused login, no such database, rolled back (deadlock), out of resources, an object
# that is not available now (a lock, a database that takes no connections), operator, system; then single codes: a
# read-only server (failover), and a transaction that the server has ended because this process stood still within it.
OUTAGE_CLASSES = ("08", "28", "3D", "40", "53", "55", "57", "58")
OUTAGE_CODES = {"25006", "25P03"}
# No outage, and gone with the migration or the deploy that is under way: tables or columns of another version, and
# prepared statements of the schema before.
SCHEMA_MISMATCH_CLASSES = ("0A", "26", "42")


def is_outage(error: BaseException) -> bool:
    """Return whether the server is lost, starting, read-only or overloaded. A broken constraint, value or statement is
    no outage."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and _indicates_outage(error.orig))
    return isinstance(error, DATABASE_ERRORS) and _indicates_outage(error)


def is_permanent(error: BaseException) -> bool:
    """Return whether the same statement with the same values fails again, also when the schema fits this version."""
    return (
        isinstance(error, DATABASE_ERRORS)
        and not is_outage(error)
        and not _sqlstate(error).startswith(SCHEMA_MISMATCH_CLASSES)
    )


def _indicates_outage(error: BaseException) -> bool:
    """Without a code it was not the server that answered: a reset, a time-out, asyncpg's own InterfaceError; unless the
    driver could not encode a value."""
    if isinstance(error, ValueError) or isinstance(error.__cause__, ValueError):
        return False
    code = _sqlstate(error)
    return not code or code.startswith(OUTAGE_CLASSES) or code in OUTAGE_CODES


def _sqlstate(error: BaseException) -> str:
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(driver_error, "sqlstate", None) or "")


@contextmanager
def suppress_outages() -> Iterator[None]:
    """Leave the block at an outage, as if it had ended. Other errors are raised."""
    try:
        yield
    except DATABASE_ERRORS as error:
        if not is_outage(error):
            raise


async def ping(database: Database) -> None:
    """Raise one of DATABASE_ERRORS if Postgres does not respond."""
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))
