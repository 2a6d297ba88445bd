"""Give each request an id, and convert an unhandled exception to a 500 without details. The outermost layer of the
API."""

import re
import traceback
from types import TracebackType
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem
from api.rate_limits import header_fields
from api.security_headers import missing_headers, security_headers

REQUEST_ID_HEADER = "X-Request-Id"
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

log = structlog.get_logger(__name__)


class ExceptionCapture:
    """Catch an unhandled exception, so that no server prints it with the values that it holds."""

    error: Exception | None = None

    def __enter__(self) -> "ExceptionCapture":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if isinstance(error, Exception):
            self.error = error
            return True
        return False


class RequestIdMiddleware:
    """ASGI middleware. `X-Request-Id` is echoed if it is well-formed, and generated otherwise. `public_url` is where
    browsers reach the API."""

    def __init__(self, app: ASGIApp, public_url: str = "") -> None:
        self.app = app
        self.security = security_headers(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id_of(scope)
        state, started = scope.setdefault("state", {}), False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                existing = message["headers"]
                added = [*missing_headers(self.security, existing), *header_fields(state)]
                message["headers"] = [*existing, *added, (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), ExceptionCapture() as capture:
            await self.app(scope, receive, send_with_headers)
        if capture.error is not None and not isinstance(capture.error, ClientDisconnect):
            error = type(capture.error).__name__
            log.error("unexpected error", request_id=request_id, error=error, at=own_frames(capture.error))
            if started:
                raise ConnectionAbortedError("the response was interrupted") from None
            await Problem(500).response(scope, receive, send_with_headers)


def _request_id_of(scope: Scope) -> str:
    client_request_id = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return client_request_id if VALID_REQUEST_ID.fullmatch(client_request_id) else uuid4().hex


def own_frames(error: BaseException) -> list[str]:
    """Return our frames, innermost last, as file, line and function. Messages and values may be personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{f.filename}:{f.lineno} {f.name}" for f in frames if "site-packages" not in f.filename]
