"""Serve the pages of worker processes. One port shows all processes of a machine; any free process answers.

The sockets are opened before processes are forked, and are the same after a restart: one that is shared, and one for
each process on loopback, by which the others read its page. A page on loopback accepts only names of this machine
(DNS rebinding).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from domain.hosts import is_local_request, is_loopback
from metrics.fetch import LOOPBACK, METRICS_PATH, fetch_page
from metrics.page import CONTENT_TYPE, MetricsPage, merge_pages

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT = 5.0  # seconds
BACKLOG = 16
MISDIRECTED_RESPONSE = b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

PageText = Callable[[], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class MetricsSockets:
    """Hold the sockets. `shared` is the port that Prometheus reads, `by_process` those of the processes by number."""

    shared: socket.socket
    by_process: Sequence[socket.socket]

    @classmethod
    def open(cls, host: str, port: int, processes: int) -> "MetricsSockets":
        """Raise OSError if the port is taken or the address is not one of this machine."""
        shared = _open_listener(host, port)
        return cls(shared=shared, by_process=[_open_listener(LOOPBACK, 0) for _ in range(processes)])

    @property
    def port(self) -> int:
        return _port_of(self.shared)

    def close(self) -> None:
        """Close the sockets when nothing is served any more."""
        for each in (self.shared, *self.by_process):
            each.close()


def open_metrics_sockets(host: str, port: int, processes: int) -> MetricsSockets | None:
    """Open the sockets. Return None and log the error if that fails: a process without metrics still delivers."""
    try:
        sockets = MetricsSockets.open(host, port, processes)
    except OSError as error:
        log.error("metrics are not served; is the port taken?", error=type(error).__name__, host=host, port=port)
        return None
    log.info("metrics are served", host=host, port=sockets.port)
    return sockets


@asynccontextmanager
async def serve_metrics(sockets: MetricsSockets, number: int, page: MetricsPage) -> AsyncIterator[None]:
    """Serve the page of process `number`, which is this one, and the merged page of all."""

    async def page_of(each: int) -> str | None:
        return await page.text() if each == number else await fetch_page(_port_of(sockets.by_process[each]))

    async def all_pages() -> str:
        numbers = range(len(sockets.by_process))
        pages = await asyncio.gather(*map(page_of, numbers))
        return merge_pages(dict(zip(numbers, pages, strict=True)))

    async with AsyncExitStack() as stack:
        for listener, text in ((sockets.shared, all_pages), (sockets.by_process[number], page.text)):
            # A copy, which the server closes; the next process of this number needs the socket itself.
            server = await asyncio.start_server(_request_handler(text, listener), sock=listener.dup())
            stack.callback(server.close)
        yield


def _request_handler(
    text: PageText, listener: socket.socket
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    is_local = is_loopback(listener.getsockname()[0])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request per connection. A client that is silent, sends too much or disconnects gets nothing."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = await reader.readuntil(b"\r\n\r\n")
                is_refused = is_local and not is_local_request(request)
                writer.write(MISDIRECTED_RESPONSE if is_refused else await _build_response(request, text))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return handle


async def _build_response(request: bytes, text: PageText) -> bytes:
    method, _, rest = request.partition(b" ")
    path = rest.split(b" ", 1)[0].partition(b"?")[0].decode(errors="replace")
    is_metrics_path = method == b"GET" and path == METRICS_PATH
    body = (await text() if is_metrics_path else f"see {METRICS_PATH}\n").encode()
    head = (
        f"HTTP/1.1 {'200 OK' if is_metrics_path else '404 Not Found'}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _open_listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def _port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])
