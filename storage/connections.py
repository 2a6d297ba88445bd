"""Session settings and socket options of connections to Postgres: each side notices that the other is gone."""

import socket
from typing import Any

import asyncpg

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
