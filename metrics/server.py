"""Serves the pages of worker processes. One port shows all processes of a machine; whichever is free answers.

The sockets are opened before processes are forked, and so are the same ones after a restart: one that is shared, and
one for each process on loopback, by which the others read its page. A page on loopback answers to names of this machine
only (DNS rebinding).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from domain.hosts import is_local_request, is_loopback
from metrics.fetch import LOOPBACK, PATH, fetch
from metrics.page import CONTENT_TYPE, Page, together

REQUEST_WITHIN = 5.0  # seconds
BACKLOG = 16
REFUSED = b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Text = Callable[[], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Sockets:
    """`shared` is the port that Prometheus reads, `own` those of the processes by number."""

    shared: socket.socket
    own: Sequence[socket.socket]

    @classmethod
    def open(cls, host: str, port: int, processes: int) -> "Sockets":
        """Raise OSError if the port is taken or the address is not one of this machine."""
        shared = _listening(host, port)
        return cls(shared=shared, own=[_listening(LOOPBACK, 0) for _ in range(processes)])

    @property
    def port(self) -> int:
        return _port(self.shared)

    def close(self) -> None:
        """Only where nothing is served any more."""
        for each in (self.shared, *self.own):
            each.close()


@asynccontextmanager
async def serving(sockets: Sockets, number: int, page: Page) -> AsyncIterator[None]:
    """Serve the page of this process, which is the one of that number, and those of all of them."""

    async def of(each: int) -> str | None:
        return await page.text() if each == number else await fetch(_port(sockets.own[each]))

    async def all_pages() -> str:
        numbers = range(len(sockets.own))
        pages = await asyncio.gather(*map(of, numbers))
        return together(dict(zip(numbers, pages, strict=True)))

    async with AsyncExitStack() as stack:
        for listening, text in ((sockets.shared, all_pages), (sockets.own[number], page.text)):
            # A copy, which the server closes; the next process of this number needs the socket itself.
            server = await asyncio.start_server(_answering(text, listening), sock=listening.dup())
            stack.callback(server.close)
        yield


def _answering(
    text: Text, listening: socket.socket
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    is_local = is_loopback(listening.getsockname()[0])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection. A client that says nothing, too much or goes away gets nothing."""
        try:
            async with asyncio.timeout(REQUEST_WITHIN):
                request = await reader.readuntil(b"\r\n\r\n")
                refused = is_local and not is_local_request(request)
                writer.write(REFUSED if refused else await _response(request, text))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return answer


async def _response(request: bytes, text: Text) -> bytes:
    method, _, rest = request.partition(b" ")
    path = rest.split(b" ", 1)[0].partition(b"?")[0].decode(errors="replace")
    found = method == b"GET" and path == PATH
    body = (await text() if found else f"see {PATH}\n").encode()
    head = (
        f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening


def _port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])
