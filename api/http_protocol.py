"""Extend uvicorn's HTTP protocol with limits for clients that send too much or too slowly. Configured by
`api/server.py`."""

import asyncio
import json
from functools import cache
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.limits.client_connections import Connections, Phase
from api.problems import MEDIA_TYPE, Problem
from metrics.engine import ReachedLimit, count_limit_reached

# Requests of one connection that wait for the response to an earlier one.
MAX_PIPELINED = 16
FORWARDED_FOR = b"x-forwarded-for"


class RefusedRequest(Exception):
    """Stop the parser with the `status` of the response."""

    def __init__(self, status: int, limit: ReachedLimit) -> None:
        super().__init__(status)
        self.status, self.limit = status, limit


class ServerConfig(Config):
    """The uvicorn configuration with the connection registry of the server."""

    connections: Connections


class LimitedHttpProtocol(HttpToolsProtocol):
    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connections = config.connections
        self._limits = config.connections.limits
        self.source: str | None = None
        self.phase = Phase.HEADERS
        self.since = 0.0
        self._unparsed = 0  # bytes since the parser last made progress; it keeps them in memory
        self._stalled_since: float | None = None
        self._refusal: RefusedRequest | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.loop.time()
        self.source = self._connections.sources.key(self.client[0]) if self.client else None
        if (limit := self._connections.add(self, self.since)) is not None:
            self._refuse(503, limit)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.IDLE:
            self._enter_phase(Phase.HEADERS)
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > self._limits.header_size:
            self._refuse(431, ReachedLimit.REQUEST_HEADERS)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.phase is not Phase.HEADERS:
            self._enter_phase(Phase.HEADERS)

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > self._limits.header_size or len(self.headers) > self._limits.headers:
            self._abort_parsing(431, ReachedLimit.REQUEST_HEADERS)
        if len(self.pipeline) >= MAX_PIPELINED:
            self._abort_parsing(429, ReachedLimit.PIPELINED_REQUESTS)
        # `source` is None for a trusted proxy.
        if self.source is not None and any(name == FORWARDED_FOR for name, _ in self.headers):
            self._connections.ignored_forwarded_headers.record(self.source)
        super().on_headers_complete()  # refuses a target without a path
        self._enter_phase(Phase.BODY)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()
        self._enter_phase(Phase.IDLE if self.cycle.response_complete else Phase.RESPONSE)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.phase is Phase.RESPONSE and self.cycle.response_complete:
            self._enter_phase(Phase.IDLE)

    def resume_writing(self) -> None:
        self._stalled_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse the request. uvicorn calls this for everything that stops the parser."""
        refusal = self._refusal or RefusedRequest(400, ReachedLimit.REQUEST_SYNTAX)
        self._refuse(refusal.status, refusal.limit)

    def check(self, now: float) -> None:
        """Close the connection if its client has not sent the rest of a request or read the response in time."""
        if self.transport.is_closing() or self.flow.write_paused:
            self._check_writing(now)
        elif self.phase is Phase.HEADERS or self.phase is Phase.BODY:
            self._check_reading(now)
        elif self.phase is Phase.IDLE and now - self.since > self._limits.idle_timeout:
            self.transport.close()

    def close(self) -> None:
        """Close the connection at once. The sweep no longer checks it, so data that the client does not read is
        dropped."""
        self._refuse(503, None)
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _check_writing(self, now: float) -> None:
        if self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > self._limits.body_timeout:
            count_limit_reached(ReachedLimit.RESPONSE_TIMEOUT)
            self.transport.abort()

    def _check_reading(self, now: float) -> None:
        """Close or refuse a request that arrives too slowly. A request that the server itself does not read yet, such
        as a pipelined one, is not late."""
        timeout = self._limits.header_timeout if self.phase is Phase.HEADERS else self._limits.body_timeout
        is_pipelined = self.phase is Phase.HEADERS and self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or is_pipelined:
            self.since = now
        elif now - self.since <= timeout:
            return
        elif self._unparsed or self.phase is Phase.BODY:
            self._refuse(408, ReachedLimit.REQUEST_TIMEOUT)
        else:  # no request has begun, and the client would match a response to its first request
            self.transport.close()

    def _enter_phase(self, phase: Phase) -> None:
        self.phase, self.since = phase, self.loop.time()

    def _abort_parsing(self, status: int, limit: ReachedLimit) -> None:
        self._refusal = RefusedRequest(status, limit)
        raise self._refusal

    def _refuse(self, status: int, limit: ReachedLimit | None) -> None:
        if self.transport.is_closing():
            return
        if limit is not None:
            count_limit_reached(limit)
        if self._may_respond:
            self.transport.write(_problem_response(status))
        self.transport.close()

    @property
    def _may_respond(self) -> bool:
        """Return whether a response can be written: not within another response, and not if the client would assign it
        to a later request."""
        if self.pipeline or self.phase is Phase.IDLE or self.phase is Phase.RESPONSE:
            return False
        if self.phase is Phase.BODY and self.cycle is not None:
            return not self.cycle.response_started
        return self.cycle is None or self.cycle.response_complete


@cache
def _problem_response(status: int) -> bytes:
    body = json.dumps(Problem(status).body).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(["Retry-After: 1"] if status in (429, 503) else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
