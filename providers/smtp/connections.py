"""Open connections to the server of `smtp`, and keep a few for the next messages. Used by `adapter`."""

import asyncio
import ssl
from contextlib import suppress

import aiosmtplib

from providers.smtp.settings import SmtpSettings

MAX_IDLE = 4
# Seconds. Servers close idle connections after 300 (RFC 5321), some much earlier.
IDLE_LIMIT = 20.0
# Some servers refuse further messages of a connection.
MAX_MESSAGES = 100
# Seconds until an idle connection counts as dead.
RESET_TIMEOUT = 2.0
QUIT_TIMEOUT = 1.0


class PooledConnection(aiosmtplib.SMTP):
    """Count the messages of one connection."""

    messages = 0


class ConnectionPool:
    """Hold idle connections. A connection carries one message at a time, so that messages never wait for each other."""

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._tls = tls
        self._idle: list[PooledConnection] = []

    async def take(self) -> PooledConnection:
        """Return an idle connection that still works, else a new one, which is logged in."""
        while self._idle:
            connection = self._idle.pop()
            if await self._is_usable(connection):
                return connection
            connection.close()
        return await self.open()

    async def open(self) -> PooledConnection:
        connection = self._build()
        await connection.connect()
        await connection.ehlo()
        return connection

    async def give_back(self, connection: PooledConnection) -> None:
        """Keep the connection for the next message, or close its session."""
        connection.messages += 1
        if connection.messages < MAX_MESSAGES and len(self._idle) < MAX_IDLE and connection.is_connected:
            self._idle.append(connection)
            asyncio.get_running_loop().call_later(IDLE_LIMIT, self._expire, connection, connection.messages)
        else:
            await close_session(connection)

    async def _is_usable(self, connection: PooledConnection) -> bool:
        """Return whether the server still responds. RSET also clears the envelope of the last message."""
        if not connection.is_connected:
            return False
        try:
            async with asyncio.timeout(RESET_TIMEOUT):
                await connection.rset()
        except (aiosmtplib.SMTPException, TimeoutError, OSError):
            return False
        return True

    def _expire(self, connection: PooledConnection, messages: int) -> None:
        """Close the connection if it has been idle since it had sent `messages` messages."""
        if connection in self._idle and connection.messages == messages:
            self._idle.remove(connection)
            connection.close()

    def _build(self) -> PooledConnection:
        settings = self._settings
        return PooledConnection(
            hostname=settings.host,
            port=settings.effective_port,
            username=settings.username,
            password=settings.password.get_secret_value(),
            use_tls=settings.tls == "implicit",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
            timeout=None,
        )


async def close_session(connection: PooledConnection) -> None:
    """Quit, and close the connection. The server's reply does not matter."""
    with suppress(aiosmtplib.SMTPException, TimeoutError, OSError):
        async with asyncio.timeout(QUIT_TIMEOUT):
            await connection.quit()
    connection.close()
