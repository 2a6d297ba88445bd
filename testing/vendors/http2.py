"""Serve a fake vendor over HTTP/2 and TLS: requests in parallel on one connection, resets, GOAWAY."""

import asyncio
import json
import ssl
from contextlib import suppress
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from hyperframe.frame import GoAwayFrame

from testing.vendors.http import ESCAPED, HOST, HttpListener, Reply, Request, VendorConnection, reset

# The headers of a response have few bytes.
DRIP_INTERVAL = 0.1


class Http2Listener(HttpListener):
    """Serve HTTP/2 instead, with the certificate of `tls`. `connections` are all that were opened, in their order."""

    tls: ssl.SSLContext
    connections: "list[Http2Connection]"

    async def _listen(self) -> asyncio.Server:
        self.tls.set_alpn_protocols(["h2"])
        return await asyncio.start_server(self._serve_connection, HOST, self.port, ssl=self.tls)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Http2Connection(self, reader, writer)
        self.connections.append(connection)
        await connection.serve()

    async def stop(self) -> None:
        await super().stop()
        for connection in self.connections:
            connection.reset()
            await connection.ended.wait()


class Http2Connection:
    """Serve one connection. `last_stream` is the last request that is processed, once the server goes away."""

    def __init__(self, listener: Http2Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.closed = asyncio.Event()
        self.ended = asyncio.Event()
        self.last_stream: int | None = None
        self._listener = listener
        self._reader = reader
        self._writer = writer
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._received: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._handlers: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        self._h2.initiate_connection()
        with suppress(ConnectionError, ssl.SSLError):
            self.flush()
            while data := await self._reader.read(65_536):
                for event in self._h2.receive_data(data):
                    self._handle_event(event)
                self.flush()
        self.closed.set()
        if self._handlers:
            await asyncio.wait(self._handlers)
        self._writer.close()
        self.ended.set()

    def _handle_event(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._received[event.stream_id] = dict(event.headers), bytearray()  # type: ignore[arg-type]
        elif isinstance(event, DataReceived):
            self._received[event.stream_id][1].extend(event.data)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded) and (self.last_stream is None or event.stream_id <= self.last_stream):
            headers, body = self._received.pop(event.stream_id)
            request = Request(method=headers[":method"], target=headers[":path"], headers=headers, body=bytes(body))
            stream = Http2Stream(self._reader, self._writer, self, event.stream_id)
            handler = asyncio.ensure_future(self._listener.handle(request, stream))
            self._handlers.add(handler)
            handler.add_done_callback(self._end_handler)

    def _end_handler(self, handler: asyncio.Task[None]) -> None:
        self._handlers.discard(handler)
        if not self._handlers and self.last_stream is not None:
            self._writer.close()

    def go_away(self, reason: str = "Shutdown", *, last_stream: int | None = None) -> None:
        """Process the requests received so far, by default, and no more; close the connection after their responses."""
        self.last_stream = self._h2.highest_inbound_stream_id if last_stream is None else last_stream
        frame = GoAwayFrame(last_stream_id=self.last_stream, additional_data=json.dumps({"reason": reason}).encode())
        self._writer.write(frame.serialize())
        if not self._handlers:
            self._writer.close()

    def encode(self, stream_id: int, reply: Reply) -> bytes:
        """Return the frames of a response, as far as the client's window allows. A missing rest resets the stream."""
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        body = body.replace(ESCAPED, b"\xff")
        headers = [(":status", str(reply.status)), *((name.lower(), value) for name, value in reply.headers.items())]
        self._h2.send_headers(stream_id, headers, end_stream=not body and not reply.missing)
        size = self._h2.max_outbound_frame_size
        for start in range(0, len(body), size):
            is_last = start + size >= len(body) and not reply.missing
            self._h2.send_data(stream_id, body[start : start + size], end_stream=is_last)
        if reply.missing:
            self._h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        return self._h2.data_to_send()

    def reset_stream(self, stream_id: int) -> None:
        self._h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        self.flush()

    def flush(self) -> None:
        self.write(self._h2.data_to_send())

    def write(self, data: bytes) -> None:
        if not self.closed.is_set():
            self._writer.write(data)

    def reset(self) -> None:
        if not self._writer.transport.is_closing():
            reset(self._writer)


@dataclass(frozen=True)
class Http2Stream(VendorConnection):
    """Hold the stream of one request."""

    connection: Http2Connection
    stream_id: int

    def write(self, reply: Reply) -> None:
        self.connection.write(self.connection.encode(self.stream_id, reply))

    def reset(self) -> None:
        self.connection.reset()

    def reset_stream(self) -> None:
        self.connection.reset_stream(self.stream_id)

    async def wait_for_disconnect(self) -> None:
        """Wait until the connection is closed: the client ends a request by ignoring its response."""
        await self.connection.closed.wait()

    async def drip(self, reply: Reply) -> None:
        gone = asyncio.ensure_future(self.connection.closed.wait())
        for byte in self.connection.encode(self.stream_id, reply):
            done, _ = await asyncio.wait([gone], timeout=DRIP_INTERVAL)
            if done:
                return
            self.connection.write(bytes([byte]))
        gone.cancel()
