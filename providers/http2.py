"""Send requests over HTTP/2: one connection for all of them, kept open between them. Used by `apns`.

httpx2 and h2 implement the protocol. A request that the server proves not to have processed, because its number is
above the last one in a GOAWAY frame, is sent again on a new connection. Any other lost response is an unknown outcome.
"""

import ssl
import time
from typing import Any, ClassVar

import httpcore2
import httpx2

from providers.transport import NOT_SENT_ERRORS, Transport, outgoing_client

# Seconds without a byte while a response is awaited. Less than the deadline of a call: a call that its deadline cuts
# leaves the connection open, so a dead connection would also get the next calls.
READ_TIMEOUT = 8.0
# Seconds. Middleboxes forget an idle connection after some minutes, without notice.
IDLE_LIFETIME = 60.0
# Seconds for the responses that a server sends after its GOAWAY.
DRAIN_TIME = 2.0

# https://www.rfc-editor.org/rfc/rfc9113#section-4.1: three bytes of length, one of type, five of flags and stream
FRAME_HEADER = 9
FRAME_TYPE = 3
GOAWAY = 0x07
MAX_FRAME = FRAME_HEADER + 16_384


class Http2Transport(Transport):
    """Send requests with a client from `http2_client`. A violation of the protocol proves nothing: the request may have
    been sent before.
    """

    not_sent_errors: ClassVar[tuple[type[Exception], ...]] = tuple(
        error for error in NOT_SENT_ERRORS if error is not httpx2.LocalProtocolError
    )


def http2_client(ssl_context: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """Create the client. Over plain HTTP, as to a local fake, it uses HTTP/1.1."""
    limits = httpx2.Limits(keepalive_expiry=IDLE_LIFETIME)
    transport = httpx2.AsyncHTTPTransport(verify=ssl_context or True, http2=True, trust_env=False, limits=limits)
    transport._pool._network_backend = DrainingBackend()
    client = outgoing_client(transport)
    client.timeout = httpx2.Timeout(READ_TIMEOUT, connect=client.timeout.connect, pool=client.timeout.pool)
    return client


class DrainingBackend(httpcore2.AnyIOBackend):
    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return DrainingStream(await super().connect_tcp(*args, **kwargs), is_http2=False)


class DrainingStream(httpcore2.AsyncNetworkStream):
    """Pass a GOAWAY frame on when the server has closed the connection, or after `DRAIN_TIME`.

    A server that goes away still responds to the requests that it has begun (RFC 9113, section 6.8). h2 reads nothing
    after a GOAWAY, so these responses would be lost and their outcomes unknown.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream, *, is_http2: bool) -> None:
        self._stream = stream
        self._is_http2 = is_http2
        self._received = bytearray()
        self._goaway = b""
        self._drained_at = 0.0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface's
        while True:
            try:
                data = await self._stream.read(max_bytes, self._time_left(timeout))
            except (httpcore2.ReadTimeout, httpcore2.ReadError):
                if not self._goaway:
                    raise
                data = b""
            if not (data and self._is_http2):
                return data or self._release()
            if passed := self._pass_frames(data):
                return passed

    def _time_left(self, timeout: float | None) -> float | None:
        if not self._goaway:
            return timeout
        left = max(0.0, self._drained_at - time.monotonic())
        return left if timeout is None else min(left, timeout)

    def _release(self) -> bytes:
        held, self._goaway = self._goaway, b""
        return held

    def _pass_frames(self, data: bytes) -> bytes:
        """Return the complete frames received, without a GOAWAY. Leave a frame that is too large to h2, which refuses
        it.
        """
        self._received += data
        passed = bytearray()
        while len(self._received) >= FRAME_HEADER:
            size = FRAME_HEADER + int.from_bytes(self._received[:3])
            if size <= MAX_FRAME and len(self._received) < size:
                break
            frame, self._received = self._received[:size], self._received[size:]
            if frame[FRAME_TYPE] != GOAWAY:
                passed += frame
                continue
            self._drained_at = self._drained_at or time.monotonic() + DRAIN_TIME
            self._goaway += frame
        return bytes(passed)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface's
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        protocol = stream.get_extra_info("ssl_object").selected_alpn_protocol()
        return DrainingStream(stream, is_http2=protocol == "h2")

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
