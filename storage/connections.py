"""Connections to Postgres: settings by which each side notices that the other is gone, connections that stay
checked out of the pool between text statements, and the one definition of an outage.

An outage is a database error that is waited out; other database errors stay.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# Seconds. A peer that answers no probe is gone after 10 + 3 * 3 s, one that acknowledges no data after 15 s, which is
# as long as a statement may take.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES = 10, 3, 3
UNACKNOWLEDGED_TIMEOUT = 15
# A process that is frozen within a transaction holds its locks. Ours never wait for anything else within one.
IDLE_IN_TRANSACTION_TIMEOUT = 10

SERVER_SETTINGS = {
    # Compiling a plan costs more than any of our short statements.
    "jit": "off",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT}s",
    "tcp_keepalives_idle": f"{KEEPALIVE_IDLE}s",
    "tcp_keepalives_interval": f"{KEEPALIVE_INTERVAL}s",
    "tcp_keepalives_count": str(KEEPALIVE_PROBES),
    "tcp_user_timeout": str(UNACKNOWLEDGED_TIMEOUT * 1_000),
}
# The same for this side; a platform may lack some.
SOCKET_OPTIONS = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL,
    "TCP_KEEPCNT": KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_TIMEOUT * 1_000,
}
# Of asyncpg, as they come unwrapped: while it connects, and from statements that SQLAlchemy does not execute.
DRIVER_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut off, before the driver has noticed it
)


def socket_of(connection: asyncpg.Connection) -> Any:
    """Return the socket of the connection, for which asyncpg has no public function, or None if the connection has lost
    it."""
    transport = getattr(connection, "_transport", None)
    return None if transport is None else transport.get_extra_info("socket")


def enable_keepalive(connection: asyncpg.Connection) -> None:
    """Set the options of this side's socket; a Unix socket needs none."""
    sock = socket_of(connection)
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SOCKET_OPTIONS.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


# Postgres plans a statement anew for each of its first five executions by a connection, and again after each ANALYZE of
# a table. Planning a text statement takes as long as executing it, and none needs a plan for the values of its
# parameters.
PLAN_ONCE = "SET plan_cache_mode = force_generic_plan"
RESET_PLANNING = "RESET plan_cache_mode"

Checkout = tuple[AsyncConnection, asyncpg.Connection]


class PinnedConnections:
    """At most `most` that are free for the next statement: a check-out of the pool for each costs as much CPU time as
    the statement. They plan each statement once."""

    def __init__(self, engine: AsyncEngine, max_free: int) -> None:
        self._engine = engine
        self._max_free = max_free
        self._free: list[Checkout] = []

    def __len__(self) -> int:
        return len(self._free)

    async def check_out(self) -> Checkout:
        """Return a free connection, or check one out of the pool."""
        while self._free:
            connection, driver = self._free.pop()
            if not driver.is_closed():
                return connection, driver
            await connection.invalidate()
            await connection.close()
        return await self._connect()

    async def _connect(self) -> Checkout:
        connection = await self._engine.connect()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await self._execute_setting(connection, driver, PLAN_ONCE)
        return connection, driver

    async def check_in(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        """Keep it, or return it to the pool."""
        if driver.is_closed() or driver.is_in_transaction():
            # SQLAlchemy notices this only in its own statements, and would hand the connection out again.
            await connection.invalidate()
            await connection.close()
        elif len(self._free) < self._max_free:
            self._free.append((connection, driver))
        else:
            await self._return_to_pool(connection, driver)

    async def release(self) -> None:
        """Return one that is free to the pool."""
        await self._return_to_pool(*self._free.pop())

    async def _return_to_pool(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        """Reset and close the connection. Errors are ignored, because the statement before was executed anyway."""
        with suppress(*DRIVER_ERRORS):
            if not driver.is_closed():
                await self._execute_setting(connection, driver, RESET_PLANNING)
        await connection.close()

    @staticmethod
    async def _execute_setting(connection: AsyncConnection, driver: asyncpg.Connection, statement: str) -> None:
        """Close the connection if that fails or is cancelled: the pool would hand it out as it is."""
        is_set = False
        try:
            await driver.execute(statement)
            is_set = True
        finally:
            if not is_set:
                await connection.invalidate()
                await connection.close()

    async def close(self) -> None:
        """Close those that are free."""
        while self._free:
            await self._free.pop()[0].close()


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
    """Return whether the error means that Postgres is unavailable. An error without a code is one of the driver, such
    as a reset or a timeout. A value that the driver cannot encode is no outage."""
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
